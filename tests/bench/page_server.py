"""A process that serves the page of 100,000 samples: `python -m tests.bench.page_server KIND`.

`still`: our web server. `busy`: the same, and it publishes 1 % of change every half second.
`reference`: prometheus-client's own ASGI application on the same families.
Writes its port to stdout, ends with its stdin.
"""

import asyncio
import sys

from prometheus_client import CollectorRegistry, ProcessCollector, make_asgi_app
from starlette.types import ASGIApp

from exporter.exposition import Answers, OwnMetrics, RenderedBoard
from exporter.web import Server, Site, StatusView, bind, site
from tests.bench.pages import ManySessions
from tests.exposition.reference import families, registry_of

_CHANGE = 0.01
_PUBLISH_SECONDS = 0.5


async def _serve(kind: str) -> None:
    sessions = ManySessions()
    board = RenderedBoard(sessions.picture())
    app = _reference(board) if kind == "reference" else _ours(board)
    with bind("127.0.0.1", 0) as listener:
        async with Server(app).serving(listener):
            print(listener.getsockname()[1], flush=True)
            end = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
            while not end.done():
                await asyncio.wait({end}, timeout=_PUBLISH_SECONDS)
                if kind == "busy":
                    sessions.change(_CHANGE)
                    board.publish(await asyncio.to_thread(sessions.picture))


def _ours(board: RenderedBoard) -> ASGIApp:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return site(
        Site(
            answer=Answers(board, OwnMetrics(registry)).answer,
            unhealthy=list,
            unready=list,
            on_scrape=lambda *_: None,
            status=_untold,
        )
    )


def _untold() -> StatusView:
    raise NotImplementedError


def _reference(board: RenderedBoard) -> ASGIApp:
    app: ASGIApp = make_asgi_app(registry_of(lambda: families(board.current)))
    return app


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
