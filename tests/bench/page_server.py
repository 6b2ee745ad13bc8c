"""A process that serves the page of 100,000 samples: `python -m tests.bench.page_server KIND`.

`still`: our web server. `busy` with the endpoint of a cloud and a budget in requests a second: the
same, and it publishes 1 % of change every half second while it scans a long history, again and
again. `reference`: prometheus-client's own ASGI application on the same families. `bare`: asyncio
alone, which writes the same bytes whatever it is asked for.
Writes its port to stdout, ends with its stdin.
"""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator

from prometheus_client import CollectorRegistry, ProcessCollector, make_asgi_app
from starlette.types import ASGIApp

from exporter import logs
from exporter.app.life import tune_gc
from exporter.exposition import Form, OwnMetrics, PageFormat, PageResponses, RenderedSnapshotStore
from exporter.web import Server, StatusView, bind, build_app
from tests.bench.many_sessions import ManySessions
from tests.support.long_gateway import exporter, poll
from tests.support.reference_pages import families, registry_of

_CHANGE = 0.01
_PUBLISH_SECONDS = 0.5


async def _serve(kind: str, endpoint: str = "", rate: str = "0") -> None:
    logs.configure("info", "logfmt")
    tune_gc()  # as the daemon does when it starts
    sessions = ManySessions()
    snapshots = RenderedSnapshotStore(sessions.snapshot())
    answers = PageResponses(snapshots, OwnMetrics(_registry()))
    with bind("127.0.0.1", 0) as listener:
        async with _serving(kind, snapshots, answers, listener):
            work = (
                [_publishes(sessions, snapshots), _scans(endpoint, int(rate))]
                if kind == "busy"
                else []
            )
            tasks = [asyncio.create_task(each) for each in work]
            print(listener.getsockname()[1], flush=True)
            end = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
            await asyncio.wait({end, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _publishes(sessions: ManySessions, snapshots: RenderedSnapshotStore) -> None:
    while True:
        await asyncio.sleep(_PUBLISH_SECONDS)
        sessions.change(_CHANGE)
        snapshots.publish(await asyncio.to_thread(sessions.snapshot))


async def _scans(endpoint: str, rate: int) -> None:
    async with exporter(endpoint, full_walk_interval="1s", rate=rate) as built:
        while True:
            await poll(built)
            await asyncio.sleep(1)


@contextlib.asynccontextmanager
async def _serving(
    kind: str, snapshots: RenderedSnapshotStore, answers: PageResponses, listener: socket.socket
) -> AsyncIterator[None]:
    if kind == "bare":
        page = answers.answer(Form(PageFormat.TEXT, is_gzipped=True)).read()
        loop = asyncio.get_running_loop()
        async with await loop.create_server(lambda: _Bare(page), sock=listener):
            yield
        return
    app = _reference(snapshots) if kind == "reference" else _ours(answers)
    async with Server(app).serving(listener):
        yield


class _Bare(asyncio.Protocol):
    """Writes the page for all that it receives."""

    def __init__(self, page: bytes) -> None:
        self._page = page
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, _data: bytes) -> None:
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(self._page))
        self._transport.write(self._page)


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def _ours(answers: PageResponses) -> ASGIApp:
    return build_app(
        answer=answers.answer,
        unhealthy=list,
        unready=list,
        on_scrape=lambda *_: None,
        status=_untold,
    )


def _untold() -> StatusView:
    raise NotImplementedError


def _reference(snapshots: RenderedSnapshotStore) -> ASGIApp:
    app: ASGIApp = make_asgi_app(registry_of(lambda: families(snapshots.current)))
    return app


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
