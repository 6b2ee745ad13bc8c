"""The API's clients: those of one role share credentials, all share connections."""

from collections.abc import Callable, Mapping

import httpx

from exporter.api import Client, CredentialSource, Meter, RateLimiter
from exporter.app.plan import Shard
from exporter.clock import Clock
from exporter.settings import ApiSettings

OnRateLimiter = Callable[[str, str, Callable[[], float]], None]
"""Is told the account and region of a new rate limiter, and what gives its rate at any time."""


class ClientFactory:
    """Makes the client for each target."""

    def __init__(
        self,
        api: ApiSettings,
        shards: Mapping[tuple[str, str], Shard],
        *,
        clock: Clock,
        http: httpx.AsyncClient,
        credentials: Callable[[str], CredentialSource],
        total_timeout: float,
        on_rate_limiter: OnRateLimiter = lambda *_: None,
    ) -> None:
        """`credentials` gives the source of credentials for a role to assume (`""` for none).

        `total_timeout` is how many seconds a call may take with all its attempts (`poll.timeout`).
        """
        self._api = api
        self._total_timeout = total_timeout
        self._on_rate_limiter = on_rate_limiter
        self._limiters: dict[tuple[str, str], RateLimiter] = {}
        self._shards = shards
        self._clock = clock
        self._http = http
        self._new_credentials = credentials
        self._credentials: dict[str, CredentialSource] = {}

    def client(self, account: str, region_id: str, meter: Meter) -> Client:
        """Give a client that calls the API of an account and region, and counts on `meter`."""
        shard = self._shards[account, region_id]
        if shard.role_arn not in self._credentials:
            self._credentials[shard.role_arn] = self._new_credentials(shard.role_arn)
        return Client(
            self._http,
            account=account,
            region_id=region_id,
            endpoint=shard.endpoint,
            credentials=self._credentials[shard.role_arn],
            limiter=self._limiter(account, region_id),
            meter=meter,
            clock=self._clock,
            max_attempts=self._api.max_attempts,
            timeout=self._api.timeout,
            total_timeout=self._total_timeout,
            max_response_bytes=self._api.max_response_bytes,
        )

    def _limiter(self, account: str, region_id: str) -> RateLimiter:
        where = (account, region_id)
        if where not in self._limiters:
            limiter = RateLimiter(self._clock, self._api.max_requests_per_second)
            self._limiters[where] = limiter
            self._on_rate_limiter(account, region_id, lambda: limiter.rate)
        return self._limiters[where]
