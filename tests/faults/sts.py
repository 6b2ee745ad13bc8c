"""A credential service on the loopback, in the form that ALIBABA_CLOUD_CREDENTIALS_URI reads."""

import time
from dataclasses import dataclass, field

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send


@dataclass
class Sts:
    """Gives out temporary credentials, each with a number of its own.

    `access_keys` and `security_tokens` are those of the cloud that is to admit what is given out.
    """

    access_keys: dict[str, str]
    security_tokens: dict[str, str]
    life: float = 3600.0
    """Seconds that a credential is said to last; the library renews it 15 minutes before."""
    asked: int = 0
    is_down: bool = False
    given: list[str] = field(default_factory=list)
    """The ids of the keys given out."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        self.asked += 1
        status, body = (500, {"Code": "Down"}) if self.is_down else (200, self._issue())
        await JSONResponse(body, status)(scope, receive, send)

    def _issue(self) -> dict[str, str]:
        number = len(self.given) + 1
        key_id, secret, token = (f"{part}.{number}" for part in ("STS", "secret", "sentinel-token"))
        self.access_keys[key_id] = secret
        self.security_tokens[key_id] = token
        self.given.append(key_id)
        expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.life))
        return {
            "Code": "Success",
            "AccessKeyId": key_id,
            "AccessKeySecret": secret,
            "SecurityToken": token,
            "Expiration": expires,
        }

    def revoke(self) -> None:
        """Let the service refuse everything that was given out so far."""
        for key_id in self.given:
            self.security_tokens[key_id] = "revoked"
