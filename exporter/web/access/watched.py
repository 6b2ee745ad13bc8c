"""What is in force, kept up with the file and the certificates that it names."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import structlog

from exporter.errors import WebConfigError
from exporter.web.access.file import WebConfig, read

_log = structlog.get_logger(__name__)

RELOADED = "web_config_reloaded"
REFUSED = "web_config_refused"

_Look = tuple[int, int, int] | None
"""Time of change in ns, inode and size of a file; `None` where there is none."""


class Access:
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
        """Give what is in force now."""
        return self._current

    def refresh(self) -> None:
        """Read the file anew if it, or a file that it names, is another one than before.

        What is bad is logged, and what was in force stays so. A file may also not take TLS or
        all passwords away: half a file that is being written would look like that.
        """
        if self._path is None or _looks(self._looks) == self._looks:
            return
        try:
            fresh = self._read(self._path)
            self._check(fresh)
        except WebConfigError as error:
            self._on_read(is_good=False)
            _log.error(REFUSED, problem="; ".join(error.problems))
        else:
            self._current = fresh
            self._on_read(is_good=True)
            _log.info(RELOADED, file=str(self._path))

    def _read(self, path: Path) -> WebConfig:
        """Read the file, and remember how each file looked before: a change meanwhile is new."""
        before = _looks({path, *self._looks})
        consulted: set[Path] = set()
        try:
            fresh = read(path, consulted)
        except WebConfigError:
            self._looks = _looks(consulted) | before
            raise
        self._looks = {each: before.get(each) or _look(each) for each in consulted}
        return fresh

    def _check(self, fresh: WebConfig) -> None:
        for what, is_lost in (
            ("tls_server_config", self._current.tls and not fresh.tls),
            ("basic_auth_users", self._current.users and not fresh.users),
        ):
            if is_lost:
                raise WebConfigError(
                    f"{self._path}: {what} is gone; restart the exporter to serve without it"
                )


def _looks(paths: Iterable[Path]) -> dict[Path, _Look]:
    return {path: _look(path) for path in paths}


def _look(path: Path) -> _Look:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
