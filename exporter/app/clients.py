"""The API's clients: those of one role share credentials, all share connections."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache, partial

import httpx

from exporter.api import (
    Client,
    CredentialSource,
    Meter,
    NullMeter,
    RateLimiter,
    VendorCredentials,
    connect_library,
)
from exporter.app.outbound_http import open_blocking_http, open_http
from exporter.app.plan import Shard
from exporter.clock import Clock, SystemClock
from exporter.model import Work
from exporter.settings import Settings

OnRateLimiter = Callable[[str, str, Callable[[], float]], None]
"""Is told the account and region of a new rate limiter, and what gives its rate at any time."""


def vendor_credentials(role_arn: str) -> CredentialSource:
    """Return the vendor's default chain, and a role to assume with it unless it is `""`."""
    connect = partial(connect_library, open_http=open_blocking_http)
    return VendorCredentials(SystemClock(), role_arn=role_arn, connect=connect)


class ClientFactory:
    """Makes the client for each target and scope.

    A call with all its attempts may take `poll.timeout`. `credentials` gives the source of
    credentials for a role to assume (`""` for none).
    """

    def __init__(
        self,
        settings: Settings,
        shards: Mapping[tuple[str, str], Shard],
        *,
        clock: Clock,
        http: httpx.AsyncClient,
        credentials: Callable[[str], CredentialSource] = vendor_credentials,
        on_rate_limiter: OnRateLimiter = lambda *_: None,
    ) -> None:
        self._settings = settings
        self._shards = shards
        self._clock = clock
        self._http = http
        self._credentials_of_role = cache(credentials)
        self._on_rate_limiter = on_rate_limiter
        self._limiters: dict[tuple[str, str], RateLimiter] = {}

    def credentials(self, account: str, region_id: str) -> CredentialSource:
        """Return where the credential for an account and region comes from."""
        return self._credentials_of_role(self._shards[account, region_id].role_arn)

    def client(self, work: Work, meter: Meter | None = None) -> Client:
        """Return a client for the account and region of `work`, which counts on `meter`."""
        account, region_id, api = work.account, work.region_id, self._settings.api
        return Client(
            self._http,
            region_id=region_id,
            endpoint=self._shards[account, region_id].endpoint,
            credentials=self.credentials(account, region_id),
            limiter=self._limiter(account, region_id),
            meter=meter or NullMeter(),
            clock=self._clock,
            max_attempts=api.max_attempts,
            timeout=api.timeout,
            total_timeout=self._settings.poll.timeout,
            max_response_bytes=api.max_response_bytes,
        )

    def _limiter(self, account: str, region_id: str) -> RateLimiter:
        where = (account, region_id)
        if where not in self._limiters:
            limiter = RateLimiter(self._clock, self._settings.api.max_requests_per_second)
            self._limiters[where] = limiter
            self._on_rate_limiter(account, region_id, lambda: limiter.rate)
        return self._limiters[where]


@asynccontextmanager
async def open_clients(
    settings: Settings, shards: Mapping[tuple[str, str], Shard]
) -> AsyncIterator[ClientFactory]:
    """Connect the clients of a command that calls the API by itself."""
    async with open_http() as http:
        yield ClientFactory(settings, shards, clock=SystemClock(), http=http)
