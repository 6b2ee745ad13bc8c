"""The configuration in use, reloaded when the file or a certificate that it names changes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from exporter.errors import WebConfigError
from exporter.web.access.file import WebConfig, read

_log = structlog.get_logger(__name__)

RELOADED = "web_config_reloaded"
REFUSED = "web_config_refused"

_Look = tuple[int, int, int] | None
"""Time of change in ns, inode and size of a file; `None` if there is none."""


class ReloadingWebConfig:
    """The configuration of the web server, the last good one."""

    def __init__(self, path: Path | None, on_read: Callable[..., None] = lambda **_: None) -> None:
        """Read the file, where there is one; `on_read` is told each time if it `is_good`.

        Raises `WebConfigError`.
        """
        self._path = path
        self._on_read = on_read
        self._looks: Mapping[Path, _Look] = {}
        self._current = WebConfig()
        if path is not None:
            self._current = self._read(path)
            on_read(is_good=True)

    @property
    def current(self) -> WebConfig:
        """The configuration in use now."""
        return self._current

    @asynccontextmanager
    async def watched(self, seconds: float) -> AsyncIterator[None]:
        """Look for changes every so many seconds inside the block."""
        task = asyncio.create_task(self._watch(seconds))
        try:
            yield
        finally:
            task.cancel()

    async def refresh(self) -> None:
        """Read the file again if it, or a file that it names, has changed.

        An invalid file is logged, and the last configuration stays in use, also where the file
        protects less: one that is half written would look like that. Files are touched in a thread
        only: the disk may be a network.
        """
        if self._path is None:
            return
        try:
            fresh = await asyncio.to_thread(self._read_if_changed, self._path)
        except WebConfigError as error:
            self._on_read(is_good=False)
            _log.error(REFUSED, problem="; ".join(error.problems))
            return
        if fresh is not None:
            self._current = fresh
            self._on_read(is_good=True)
            _log.info(RELOADED, file=str(self._path))

    async def _watch(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.refresh()
            except RuntimeError as error:  # no thread can be started
                _log.warning(REFUSED, problem=str(error))

    def _read_if_changed(self, path: Path) -> WebConfig | None:
        if _looks(self._looks) == self._looks:
            return None
        fresh = self._read(path)
        if weakened := [*_weakened(self._current, fresh)]:
            raise WebConfigError(
                f"{path}: a reload cannot remove or weaken {', '.join(weakened)}; restart the "
                "exporter for that"
            )
        return fresh

    def _read(self, path: Path) -> WebConfig:
        """Read the file, and remember how each file looked before: a change meanwhile is new."""
        before = _looks({path, *self._looks})
        consulted: set[Path] = set()
        try:
            fresh = read(path, consulted)
        except WebConfigError:
            self._looks = _looks(consulted) | before
            raise
        self._looks = {path: before.get(path) or _look(path) for path in consulted}
        return fresh


def _weakened(current: WebConfig, fresh: WebConfig) -> Iterator[str]:
    """Name each key of the file that protected more before."""
    if current.tls and not fresh.tls:
        yield "tls_server_config"
    if current.tls and fresh.tls:
        if current.tls.verify_mode > fresh.tls.verify_mode:
            yield "tls_server_config.client_auth_type"
        if current.tls.minimum_version > fresh.tls.minimum_version:
            yield "tls_server_config.min_version"
    if current.users and not fresh.users:
        yield "basic_auth_users"
    if current.headers and not fresh.headers:
        yield "http_server_config.headers"
    if current.bucket and not fresh.bucket:
        yield "rate_limit"


def _looks(paths: Iterable[Path]) -> dict[Path, _Look]:
    return {path: _look(path) for path in paths}


def _look(path: Path) -> _Look:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
