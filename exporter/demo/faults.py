"""What can go wrong on the way to the real service, on demand."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from exporter.demo.calls import Call
from exporter.demo.refusals import Refusal, throttled

Page: TypeAlias = dict[str, object]
"""The body of a page before it is written: the vendor's fields, rows as `Verbatim` text."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer an error of the service."""

    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Hang:
    """Never answer; ends when the client goes away or the server stops."""


@dataclass(frozen=True, slots=True)
class Delay:
    """Answer late, in real seconds, and then as `then` says."""

    seconds: float
    then: "Effect | None" = None


@dataclass(frozen=True, slots=True)
class Hold:
    """Answer as soon as an event is set."""

    released: asyncio.Event


@dataclass(frozen=True, slots=True)
class Cut:
    """Announce the whole body, send a part of it, close the connection."""

    fraction: float = 0.5


@dataclass(frozen=True, slots=True)
class Truncate:
    """Send a part of the body as if it were the whole."""

    fraction: float = 0.5


@dataclass(frozen=True, slots=True)
class Flood:
    """Stream so many bytes of one endless JSON string, without announcing a length."""

    size: int


@dataclass(frozen=True, slots=True)
class Canned:
    """Answer these bytes."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Alter:
    """Serve the page with a change made to its fields."""

    change: Callable[[Page, Call], None]


Effect: TypeAlias = Refuse | Hang | Delay | Hold | Cut | Truncate | Flood | Canned | Alter

THROTTLED: Final = Refuse(throttled())
THROTTLED_429: Final = Refuse(throttled(status=429, retry_after="1"))
UNAVAILABLE: Final = Refuse(Refusal(503, "ServiceUnavailable", "Please retry later."))
INTERNAL_ERROR: Final = Refuse(Refusal(500, "InternalError", "An internal error occurred."))
FORBIDDEN: Final = Refuse(Refusal(403, "Forbidden.RAM", "You are not authorized to do this."))
EXPIRED_TOKEN: Final = Refuse(Refusal(400, "InvalidSecurityToken.Expired", "Token expired."))
CLOCK: Final = Refuse(Refusal(400, "InvalidTimeStamp.Expired", "The date value is expired."))
NONCE_USED: Final = Refuse(Refusal(400, "SignatureNonceUsed", "The nonce was used already."))
HTML: Final = Canned(b"<html><body>502 Bad Gateway</body></html>", 502, "text/html")
HTML_200: Final = Canned(b"<html><body>Sign in</body></html>", 200, "text/html")
EMPTY: Final = Canned(b"")
NULL: Final = Canned(b"null")
LIST: Final = Canned(b"[]")


def redirect(location: str) -> Canned:
    """Answer 302; a client that signs for one host must not follow."""
    return Canned(b"", 302, "text/plain", (("Location", location),))


def deeply_nested(depth: int) -> Canned:
    """Answer valid JSON on which a recursive decoder runs out of stack."""
    return Canned(b'{"sessions":' + b"[" * depth + b"]" * depth + b"}")


def _set(name: str, value: object) -> Alter:
    def change(page: Page, _call: Call) -> None:
        page[name] = value

    return Alter(change)


def total_count(value: object) -> Alter:
    """Serve another `totalCount`."""
    return _set("totalCount", value)


def envelope_code(code: object) -> Alter:
    """Serve `ListLivyCompute` with another `code`, in HTTP 200."""
    return _set("code", code)


def repeated_token(token: str | None = None) -> Alter:
    """Serve the token that the page was asked with (or this one) as the next: an endless scan."""

    def change(page: Page, call: Call) -> None:
        page["nextToken"] = token or call.token or call.own_token

    return Alter(change)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """When an effect strikes; a field that is None matches everything."""

    effect: Effect
    action: str | None = None
    workspace_id: str | None = None
    compute_id: str | None = None
    page: int | None = None
    """From 1, in either way of paging."""
    skip: int = 0
    """So many matching calls pass first."""
    times: int | None = None
    """So many calls are struck; None = for ever."""
    probability: float = 1.0

    def matches(self, call: Call) -> bool:
        """Whether the call is one that this fault is about."""
        asked = (self.action, self.workspace_id, self.compute_id, self.page)
        given = (call.action, call.workspace_id, call.compute_id, call.page)
        return all(want in {None, have} for want, have in zip(asked, given, strict=True))


@dataclass(slots=True)
class _Planted:
    fault: Fault
    seen: int = 0
    struck: int = 0


class Faults:
    """The active faults; the first that matches a call applies."""

    def __init__(self, seed: int = 0) -> None:
        """Start without any; `seed` decides those of a probability below 1."""
        self._random = random.Random(seed)
        self._planted: list[_Planted] = []

    def add(self, effect: Effect, **match: object) -> Fault:
        """Plant a fault; keywords are the fields of `Fault`."""
        fault = Fault(effect=effect, **match)  # type: ignore[arg-type]  # fields by name
        self._planted.append(_Planted(fault))
        return fault

    def remove(self, fault: Fault) -> None:
        """Take a fault out."""
        self._planted = [planted for planted in self._planted if planted.fault is not fault]

    def clear(self) -> None:
        """Take all faults out."""
        self._planted.clear()

    def struck(self, fault: Fault) -> int:
        """Count the calls that a fault has struck."""
        return sum(planted.struck for planted in self._planted if planted.fault is fault)

    def strike(self, call: Call) -> Effect | None:
        """Choose what happens to a call."""
        return next((p.fault.effect for p in self._planted if self._strikes(p, call)), None)

    def _strikes(self, planted: _Planted, call: Call) -> bool:
        fault = planted.fault
        if not fault.matches(call):
            return False
        planted.seen += 1
        spent = fault.times is not None and planted.struck >= fault.times
        if planted.seen <= fault.skip or spent:
            return False
        # No draw where the answer is certain: other faults' draws must not shift.
        hit = fault.probability >= 1 or self._random.random() < fault.probability
        planted.struck += hit
        return hit
