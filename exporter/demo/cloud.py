"""The service at the wire: strict about requests, and unreliable where faults are set."""

import asyncio
import uuid
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from email.utils import formatdate

from starlette.requests import Request as HttpRequest
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.demo.answers import CloudResponse, send_cut, send_flood, send_whole, wait_until_gone
from exporter.demo.calls import Call, check_headers, describe, parse_query
from exporter.demo.faults import (
    Alter,
    Canned,
    Cut,
    Delay,
    Effect,
    Faults,
    Flood,
    Hang,
    Hold,
    Page,
    Refuse,
    Truncate,
)
from exporter.demo.gate import Gate, RateLimit
from exporter.demo.jsontext import dump, encode
from exporter.demo.listings import serve_call
from exporter.demo.paging import Behaviour
from exporter.demo.refusals import Refusal, Refused, bad_signature
from exporter.demo.signature import Request
from exporter.demo.witness import Delivered, Truth, survey
from exporter.demo.world import World

REMEMBERED_CALLS = 100_000


class Cloud:
    """A simulated EMR Serverless Spark for one account; `app` is the ASGI application.

    Everything that is not underscored may be changed while it serves.
    """

    def __init__(  # noqa: PLR0913  the parts of a service, all by name
        self,
        world: World,
        *,
        clock: Callable[[], float],
        access_keys: Mapping[str, str],
        security_tokens: Mapping[str, str] | None = None,
        behaviour: Behaviour = Behaviour(),  # noqa: B008  frozen
        denied_actions: frozenset[str] | set[str] = frozenset(),
        rate_limit: int | None = None,
        seed: int = 0,
        tick: Callable[[float], object] | None = None,
    ) -> None:
        """Take the world, the clock in seconds since the epoch, and the credentials.

        `security_tokens` maps a temporary key id to its valid token; `rate_limit` is in requests
        per second; `tick` is called with the time before each request, to bring the world there.
        """
        self.world = world
        self.clock = clock
        self.behaviour = behaviour
        self.denied_actions = set(denied_actions)
        self.faults = Faults(seed)
        self.rate_limit = RateLimit(clock, rate_limit)
        self.before_page: Callable[[Call], None] | None = None
        self.calls: deque[Call] = deque(maxlen=REMEMBERED_CALLS)
        self.counters: Counter[tuple[str, str]] = Counter()
        """Requests by action (as claimed, where not understood) and result code."""
        self.delivered = Delivered()
        # Not `or {}`: an empty one that is given may be filled later.
        tokens = {} if security_tokens is None else security_tokens
        self._gate = Gate(clock, access_keys, tokens)
        self._tick = tick
        # No router: it would decode the path, and what counts here is the raw one.
        self.app: ASGIApp = self._serve

    def truth(self) -> Truth:
        """Add up the world as it is now."""
        return survey(self.world)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if self._tick is not None:
            self._tick(self.clock())
        http = HttpRequest(scope, receive)
        # Until it is understood, a call is what it says it is.
        claimed = http.headers.get("x-acs-action", "")
        call, effect = Call(action=claimed, time=self.clock()), None
        try:
            call, query = self._understand(_received(http, await http.body()))
            self.rate_limit.admit()
            effect = self.faults.strike(call)
            if isinstance(effect, Delay):
                await asyncio.sleep(effect.seconds)
                effect = effect.then
            elif isinstance(effect, Hold):
                await effect.released.wait()
            done, answer = self._answer(call, query, effect)
        except Refused as refused:
            done, answer = self._refuse(call, refused.refusal, http)
            effect = None
        self.calls.append(done)
        self.counters[done.action, done.code] += 1
        await self._transmit(answer, effect, http, send)

    def _understand(self, request: Request) -> tuple[Call, Mapping[str, str]]:
        self._gate.admit(request)
        query = parse_query(request.query)
        call = describe(request.path, query, self.clock())
        check_headers(request, call.action)
        return call, query

    def _answer(
        self, call: Call, query: Mapping[str, str], effect: Effect | None
    ) -> tuple[Call, CloudResponse]:
        match effect:
            case Refuse():
                raise Refused(effect.refusal)
            case Hang():
                return replace(call, code="hang"), CloudResponse(0, b"")
            case Canned():
                done = replace(call, status=effect.status, code="canned")
                return done, CloudResponse(
                    effect.status, effect.body, effect.content_type, effect.headers
                )
        done, answer = self._page(call, query, effect)
        match effect:
            case Cut() | Flood():
                return replace(done, code=type(effect).__name__.lower(), rows=0), answer
            case Truncate():
                part = answer.body[: int(len(answer.body) * effect.fraction)]
                return replace(done, code="truncate", rows=0), CloudResponse(200, part)
        return done, answer

    def _page(
        self, call: Call, query: Mapping[str, str], effect: Effect | None
    ) -> tuple[Call, CloudResponse]:
        if call.action in self.denied_actions:
            message = f"The RAM action emr-serverless-spark:{call.action} is not allowed."
            raise Refused(Refusal(403, self.behaviour.denial_code, message))
        if self.before_page is not None:
            self.before_page(call)
        served = serve_call(self.world, self.behaviour, call, query)
        page: Page = {"requestId": _request_id(), **served.page}
        if isinstance(effect, Alter):
            effect.change(page, call)
        body = encode(dump(page), self.behaviour.encoding)
        done = replace(call, status=200, code="OK", rows=served.rows)
        return done, CloudResponse(
            200, body, on_sending=lambda: self.delivered.record(served.sessions)
        )

    def _refuse(
        self, call: Call, refusal: Refusal, http: HttpRequest
    ) -> tuple[Call, CloudResponse]:
        text = refusal.text(
            _request_id(),
            http.headers.get("host", ""),
            camel_case=self.behaviour.camel_case_errors,
        )
        done = replace(call, status=refusal.status, code=refusal.code or "null")
        answer = CloudResponse(refusal.status, encode(text), headers=refusal.headers)
        return done, answer

    async def _transmit(
        self, answer: CloudResponse, effect: Effect | None, http: HttpRequest, send: Send
    ) -> None:
        date = formatdate(self.clock(), usegmt=True)
        match effect:
            case Hang():
                await wait_until_gone(http.receive)
            case Cut():
                await send_cut(answer, effect.fraction, date, send)
            case Flood():
                await send_flood(answer, effect.size, date, http.receive, send)
            case _:
                await send_whole(answer, date, send)


def _received(http: HttpRequest, body: bytes) -> Request:
    headers: dict[str, str] = {}
    for name, value in http.headers.items():
        if name in headers and (name.startswith("x-acs-") or name in {"host", "authorization"}):
            raise bad_signature(f"The header {name} was sent twice.")
        headers[name] = value
    raw_path: bytes = http.scope["raw_path"]
    query: bytes = http.scope["query_string"]
    return Request(
        method=http.method,
        path=raw_path.decode("latin-1"),
        query=query.decode("latin-1"),
        headers=headers,
        body=body,
    )


def _request_id() -> str:
    return str(uuid.uuid4()).upper()
