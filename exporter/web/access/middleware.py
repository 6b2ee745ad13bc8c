"""Access to the application: rate limit, passwords, and the headers that the file sets."""

from collections.abc import Callable, Collection, Mapping
from functools import partial

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.web.access.file import WebConfig
from exporter.web.access.passwords import NotCheckedError, Passwords
from exporter.web.asgi import is_gone
from exporter.web.http import peer_of

_log = structlog.get_logger(__name__)

DENIED = "request_denied"

_CHALLENGE = {"WWW-Authenticate": 'Basic realm="emr-serverless-spark-exporter", charset="UTF-8"'}


class AccessMiddleware:
    """Passes requests on to the application where the web configuration allows them."""

    def __init__(
        self,
        app: ASGIApp,
        config: Callable[[], WebConfig],
        health_paths: Collection[str] = (),
        *,
        health_auth: bool = False,
    ) -> None:
        """Ask `config` at each request for the configuration in use.

        The rate limit never applies to `health_paths`, or probes would restart a busy exporter;
        passwords only with `health_auth`.
        """
        self._app = app
        self._config = config
        self._unlimited = frozenset(health_paths)
        self._open = frozenset(() if health_auth else health_paths)
        self._passwords = Passwords()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        config = self._config()
        denial = await self._denial(config, scope, receive)
        if denial is not None:
            _log.debug(DENIED, status=denial.status_code, path=scope["path"])
        answer = denial or self._app
        await answer(scope, receive, _with_headers(send, config.headers))

    async def _denial(self, config: WebConfig, scope: Scope, receive: Receive) -> Response | None:
        path = scope["path"]
        if config.bucket and path not in self._unlimited and not config.bucket.try_acquire():
            return PlainTextResponse("Too Many Requests\n", 429)
        if not config.users or path in self._open:
            return None
        given = Headers(scope=scope).get("authorization", "")
        peer = peer_of(scope["client"][0]) if scope["client"] else ""
        try:
            if await self._passwords.admit(config.users, given, peer, partial(is_gone, receive)):
                return None
        except NotCheckedError:
            return PlainTextResponse("Too many logins\n", 503, {"Retry-After": "1"})
        return PlainTextResponse("Unauthorized\n", 401, _CHALLENGE)


def _with_headers(send: Send, headers: Mapping[str, str]) -> Send:
    """Add `headers` to the answer; they replace those of the application with the same names."""
    if not headers:
        return send

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(headers)
        await send(message)

    return sending
