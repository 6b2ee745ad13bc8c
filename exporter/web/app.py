"""The routes. Every answer to a scrape comes from ready bytes; none waits for the API."""

from collections.abc import Callable, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp

from exporter.exposition import Form, PageResponse
from exporter.web.access import AccessMiddleware, WebConfig
from exporter.web.http import SlicedAnswers
from exporter.web.metrics import MetricsEndpoint, OnScrape
from exporter.web.status import StatusPages, StatusView

_HEALTHY_PATH: Final = "/-/healthy"
_READY_PATH: Final = "/-/ready"

Sentences = Callable[[], Sequence[str]]
"""Returns the problems, one sentence each; empty when there is none."""


def build_app(
    *,
    answer: Callable[[Form], PageResponse],
    on_scrape: OnScrape,
    unhealthy: Sentences,
    unready: Sentences,
    status: Callable[[], StatusView],
    config: Callable[[], WebConfig] = WebConfig,
    telemetry_path: str = "/metrics",
    health_auth: bool = False,
) -> ASGIApp:
    """Build the ASGI application.

    `on_scrape` is called with the page that a scraper has received completely, and whether the
    scraper is Prometheus. `config` says at each request what is in force of the web configuration
    file; with `health_auth` its passwords are asked for at the health endpoints too.
    """

    async def healthy(_: Request) -> Response:
        return _verdict("Healthy.", unhealthy())

    async def ready(_: Request) -> Response:
        return _verdict("Ready.", unready())

    router = Router(
        [
            Route(telemetry_path, MetricsEndpoint(answer, on_scrape), methods=["GET"]),
            Route(_HEALTHY_PATH, healthy),
            Route(_READY_PATH, ready),
            *StatusPages(status).routes(),
        ],
        # "/metrics/" is not there: a redirect would be built from whatever Host was sent.
        redirect_slashes=False,
    )
    return AccessMiddleware(
        SlicedAnswers(router), config, (_HEALTHY_PATH, _READY_PATH), health_auth=health_auth
    )


def _verdict(good: str, problems: Sequence[str]) -> Response:
    if problems:
        return PlainTextResponse("\n".join((*problems, "")), status_code=503)
    return PlainTextResponse(f"{good}\n")
