"""Who may come in: keys, temporary credentials, the clock, nonces, the request rate."""

from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from exporter.demo.refusals import Refusal, Refused, throttled
from exporter.demo.signature import Request, check_signature, parse_authorization

TOLERANCE_SECONDS = 15 * 60
"""How far `x-acs-date` may be from the service's clock."""


def _refused(status: int, code: str, message: str) -> Refused:
    return Refused(Refusal(status, code, message))


class Gate:
    """Admits signed requests, each nonce once.

    `access_keys` maps key ids to secrets. A key id in `security_tokens` is a temporary one, and
    only with the token there: any other counts as expired. Both are looked up at every request,
    so that a test may rotate them.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        access_keys: Mapping[str, str],
        security_tokens: Mapping[str, str],
    ) -> None:
        """Take the clock (seconds since the epoch) and the credentials."""
        self._clock = clock
        self._access_keys = access_keys
        self._security_tokens = security_tokens
        self._nonces: dict[str, float] = {}

    def admit(self, request: Request) -> None:
        """Return, or refuse."""
        authorization = parse_authorization(request.headers.get("authorization", ""))
        self._check_date(request.headers.get("x-acs-date", ""))
        secret = self._access_keys.get(authorization.access_key_id)
        if secret is None:
            message = "Specified access key is not found."
            raise _refused(404, "InvalidAccessKeyId.NotFound", message)
        self._check_token(authorization.access_key_id, request.headers)
        check_signature(request, authorization, secret)
        # Last, as only a request with a good signature may use up a nonce.
        self._check_nonce(request.headers.get("x-acs-signature-nonce", ""))

    def _check_date(self, text: str) -> None:
        try:
            date = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError:
            message = "x-acs-date is not of the form YYYY-MM-DDTHH:MM:SSZ."
            raise _refused(400, "InvalidTimeStamp.Format", message) from None
        if abs(date.timestamp() - self._clock()) > TOLERANCE_SECONDS:
            message = "Specified time stamp or date value is expired."
            raise _refused(400, "InvalidTimeStamp.Expired", message)

    def _check_token(self, access_key_id: str, headers: Mapping[str, str]) -> None:
        due = self._security_tokens.get(access_key_id)
        sent = headers.get("x-acs-security-token")
        if due is None and sent is None:
            return
        if due is None:
            message = "The security token does not belong to the access key."
            raise _refused(400, "InvalidSecurityToken.MismatchWithAccessKey", message)
        if sent is None:
            raise _refused(400, "MissingSecurityToken", "SecurityToken is mandatory.")
        if headers.get("x-acs-accesskey-id") != access_key_id:
            raise _refused(400, "MissingAccessKeyId", "x-acs-accesskey-id is mandatory.")
        if sent != due:
            message = "Specified SecurityToken is expired."
            raise _refused(400, "InvalidSecurityToken.Expired", message)

    def _check_nonce(self, nonce: str) -> None:
        now = self._clock()
        # In order of arrival: what is too old stands at the front.
        while self._nonces and next(iter(self._nonces.values())) < now - 2 * TOLERANCE_SECONDS:
            del self._nonces[next(iter(self._nonces))]
        if not nonce:
            raise _refused(400, "MissingParameter.SignatureNonce", "The nonce is mandatory.")
        if nonce in self._nonces:
            message = "Specified signature nonce was used already."
            raise _refused(400, "SignatureNonceUsed", message)
        self._nonces[nonce] = now


class RateLimit:
    """Requests in the last second, and how many were refused."""

    def __init__(self, clock: Callable[[], float], per_second: int | None = None) -> None:
        """Take the clock, and the limit (None = none; may be set at any time)."""
        self.per_second = per_second
        self.refused = 0
        self._clock = clock
        self._admitted: deque[float] = deque()

    def admit(self) -> None:
        """Return, or refuse; a refused request does not count against the limit."""
        now = self._clock()
        while self._admitted and self._admitted[0] <= now - 1:
            self._admitted.popleft()
        if self.per_second is not None and len(self._admitted) >= self.per_second:
            self.refused += 1
            raise Refused(throttled())
        self._admitted.append(now)
