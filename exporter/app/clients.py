"""The API's clients: those of one role share credentials, all share connections."""

from collections.abc import Callable

import httpx

from exporter.api import Client, CredentialSource, Meter
from exporter.app.plan import PlannedTarget
from exporter.clock import Clock
from exporter.settings import Settings

_MAX_CONNECTIONS = 20


class Clients:
    """Makes the client for each target."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        http: httpx.AsyncClient,
        credentials: Callable[[str], CredentialSource],
    ) -> None:
        """`credentials` gives the source of credentials for a role to assume (`""` for none)."""
        self._api = settings.api
        self._clock = clock
        self._http = http
        self._new_credentials = credentials
        self._credentials: dict[str, CredentialSource] = {}

    def client(self, planned: PlannedTarget, meter: Meter) -> Client:
        """Give a client that calls the API where `planned` is, and counts on `meter`."""
        role_arn = planned.role_arn
        if role_arn not in self._credentials:
            self._credentials[role_arn] = self._new_credentials(role_arn)
        return Client(
            self._http,
            account=planned.target.account,
            region_id=planned.target.region_id,
            endpoint=planned.endpoint,
            credentials=self._credentials[role_arn],
            meter=meter,
            clock=self._clock,
            max_attempts=self._api.max_attempts,
            timeout=self._api.timeout,
            max_response_bytes=self._api.max_response_bytes,
        )


def open_http() -> httpx.AsyncClient:
    """Open the connections that all clients share; proxies come from the environment."""
    return httpx.AsyncClient(limits=httpx.Limits(max_connections=_MAX_CONNECTIONS))
