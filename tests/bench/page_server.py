"""A process that serves the page of 100,000 samples: `python -m tests.bench.page_server KIND`.

`still`: our web server. `busy` with the endpoint of a cloud and a budget in requests a second: the
same, and it publishes 1 % of change every half second while it walks a long history, again and
again. `reference`: prometheus-client's own ASGI application on the same families.
Writes its port to stdout, ends with its stdin.
"""

import asyncio
import sys

from prometheus_client import CollectorRegistry, ProcessCollector, make_asgi_app
from starlette.types import ASGIApp

from exporter.app.life import spare_the_loop
from exporter.exposition import Answers, OwnMetrics, RenderedBoard
from exporter.web import Server, Site, StatusView, bind, site
from tests.bench.gateway import exporter, poll
from tests.bench.pages import ManySessions
from tests.exposition.reference import families, registry_of

_CHANGE = 0.01
_PUBLISH_SECONDS = 0.5


async def _serve(kind: str, endpoint: str = "", rate: str = "0") -> None:
    spare_the_loop()  # as the daemon does when it starts
    sessions = ManySessions()
    board = RenderedBoard(sessions.picture())
    app = _reference(board) if kind == "reference" else _ours(board)
    with bind("127.0.0.1", 0) as listener:
        async with Server(app).serving(listener):
            work = (
                [_publishes(sessions, board), _walks(endpoint, int(rate))] if kind == "busy" else []
            )
            tasks = [asyncio.create_task(each) for each in work]
            print(listener.getsockname()[1], flush=True)
            end = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
            await asyncio.wait({end, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _publishes(sessions: ManySessions, board: RenderedBoard) -> None:
    while True:
        await asyncio.sleep(_PUBLISH_SECONDS)
        sessions.change(_CHANGE)
        board.publish(await asyncio.to_thread(sessions.picture))


async def _walks(endpoint: str, rate: int) -> None:
    async with exporter(endpoint, full_walk_interval="1s", rate=rate) as built:
        while True:
            await poll(built)
            await asyncio.sleep(1)


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
    asyncio.run(_serve(*sys.argv[1:]))
