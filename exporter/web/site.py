"""The routes. Every answer to a scrape comes from ready bytes; none waits for the API."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router

from exporter.exposition import Answer, Form
from exporter.web.scrape import OnScrape, Scrapes
from exporter.web.status import StatusPages, StatusView

HEALTH_PATHS = ("/-/healthy", "/-/ready")


@dataclass(frozen=True, slots=True)
class Site:
    """What the site shows, and whom it tells of scrapes.

    `unhealthy` and `unready` say what is wrong, in sentences; nothing where all is well.
    `on_scrape` is called with the page that a scraper has received completely, and whether
    the scraper is Prometheus. `status` gives what the status page says.
    """

    answer: Callable[[Form], Answer]
    unhealthy: Callable[[], Sequence[str]]
    unready: Callable[[], Sequence[str]]
    on_scrape: OnScrape
    status: Callable[[], StatusView]
    telemetry_path: str = "/metrics"


def site(parts: Site) -> Router:
    """Build the ASGI application."""

    async def healthy(_: Request) -> Response:
        return _verdict("Healthy.", parts.unhealthy())

    async def ready(_: Request) -> Response:
        return _verdict("Ready.", parts.unready())

    path = parts.telemetry_path
    healthy_path, ready_path = HEALTH_PATHS
    return Router(
        [
            Route(path, Scrapes(parts.answer, parts.on_scrape), methods=["GET"]),
            Route(healthy_path, healthy),
            Route(ready_path, ready),
            *StatusPages(parts.status).routes(),
        ],
        # "/metrics/" is not there: a redirect would be built from whatever Host was sent.
        redirect_slashes=False,
    )


def _verdict(good: str, problems: Sequence[str]) -> Response:
    if problems:
        return PlainTextResponse("\n".join((*problems, "")), status_code=503)
    return PlainTextResponse(f"{good}\n")
