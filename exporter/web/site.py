"""The routes. Every answer to a scrape comes from ready bytes; none waits for the API."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from exporter.exposition import Answer, Form
from exporter.web.scrape import OnScrape, Scrapes


@dataclass(frozen=True, slots=True)
class Site:
    """What the site shows, and whom it tells of scrapes.

    `unhealthy` and `unready` say what is wrong, in sentences; nothing where all is well.
    `on_scrape` is called with the page that a scraper has received completely, and whether
    the scraper is Prometheus.
    """

    answer: Callable[[Form], Answer]
    unhealthy: Callable[[], Sequence[str]]
    unready: Callable[[], Sequence[str]]
    on_scrape: OnScrape
    version: str
    telemetry_path: str = "/metrics"


def site(parts: Site) -> Starlette:
    """Build the ASGI application."""

    async def healthy(_: Request) -> Response:
        return _verdict("Healthy.", parts.unhealthy())

    async def ready(_: Request) -> Response:
        return _verdict("Ready.", parts.unready())

    async def landing(_: Request) -> Response:
        return HTMLResponse(_LANDING.format(version=escape(parts.version), path=escape(path)))

    path = parts.telemetry_path
    app = Starlette(
        routes=[
            Route(path, Scrapes(parts.answer, parts.on_scrape), methods=["GET"]),
            Route("/-/healthy", healthy),
            Route("/-/ready", ready),
            Route("/", landing),
        ]
    )
    # "/metrics/" is not there: a redirect would be built from whatever Host was sent.
    app.router.redirect_slashes = False
    return app


def _verdict(good: str, problems: Sequence[str]) -> Response:
    if problems:
        return PlainTextResponse("\n".join((*problems, "")), status_code=503)
    return PlainTextResponse(f"{good}\n")


_LANDING = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>EMR Serverless Spark exporter</title>
<h1>EMR Serverless Spark exporter</h1>
<p>Version {version}</p>
<ul>
<li><a href="{path}">Metrics</a></li>
<li><a href="/-/healthy">Healthy?</a></li>
<li><a href="/-/ready">Ready?</a></li>
</ul>
</html>
"""
