"""The door in front of the site: rate limit, passwords, and the headers that the file sets."""

from collections.abc import Callable, Collection

import structlog
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.web.access.file import Headers, WebConfig
from exporter.web.access.passwords import Passwords, TooManyChecksError

_log = structlog.get_logger(__name__)

TURNED_AWAY = "request_turned_away"

_CHALLENGE = {"WWW-Authenticate": 'Basic realm="emr-serverless-spark-exporter", charset="UTF-8"'}


class Guard:
    """The site, for those who may see it."""

    def __init__(
        self, site: ASGIApp, config: Callable[[], WebConfig], open_paths: Collection[str] = ()
    ) -> None:
        """Ask `config` at each request what is in force; at `open_paths` ask for no password."""
        self._site = site
        self._config = config
        self._open_paths = frozenset(open_paths)
        self._passwords = Passwords()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        config = self._config()
        refusal = await self._refusal(config, scope)
        if refusal is not None:
            _log.debug(TURNED_AWAY, status=refusal.status_code, path=scope["path"])
        answer = refusal or self._site
        await answer(scope, receive, _with_headers(send, config.headers))

    async def _refusal(self, config: WebConfig, scope: Scope) -> Response | None:
        if config.bucket is not None and not config.bucket.takes():
            return PlainTextResponse("Too Many Requests\n", 429)
        if not config.users or scope["path"] in self._open_paths:
            return None
        said = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        try:
            if await self._passwords.admit(config.users, said.decode("latin-1")):
                return None
        except TooManyChecksError:
            return PlainTextResponse("Too many logins\n", 503, {"Retry-After": "1"})
        return PlainTextResponse("Unauthorized\n", 401, _CHALLENGE)


def _with_headers(send: Send, headers: Headers) -> Send:
    """Add `headers` to the answer; they stand for what the site says under these names."""
    if not headers:
        return send
    names = {name for name, _ in headers}

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [each for each in message["headers"] if each[0].lower() not in names]
            message = {**message, "headers": [*kept, *headers]}
        await send(message)

    return sending
