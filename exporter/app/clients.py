"""The API's clients: those of one role share credentials, all share connections."""

from collections.abc import Callable, Mapping

import httpx

from exporter.api import Client, CredentialSource, Meter
from exporter.app.plan import Place
from exporter.clock import Clock
from exporter.settings import ApiSettings

_MAX_CONNECTIONS = 20


class Clients:
    """Makes the client for each target."""

    def __init__(
        self,
        api: ApiSettings,
        places: Mapping[tuple[str, str], Place],
        *,
        clock: Clock,
        http: httpx.AsyncClient,
        credentials: Callable[[str], CredentialSource],
    ) -> None:
        """`credentials` gives the source of credentials for a role to assume (`""` for none)."""
        self._api = api
        self._places = places
        self._clock = clock
        self._http = http
        self._new_credentials = credentials
        self._credentials: dict[str, CredentialSource] = {}

    def client(self, account: str, region_id: str, meter: Meter) -> Client:
        """Give a client that calls the API of an account and region, and counts on `meter`."""
        place = self._places[account, region_id]
        if place.role_arn not in self._credentials:
            self._credentials[place.role_arn] = self._new_credentials(place.role_arn)
        return Client(
            self._http,
            account=account,
            region_id=region_id,
            endpoint=place.endpoint,
            credentials=self._credentials[place.role_arn],
            meter=meter,
            clock=self._clock,
            max_attempts=self._api.max_attempts,
            timeout=self._api.timeout,
            max_response_bytes=self._api.max_response_bytes,
        )


def open_http() -> httpx.AsyncClient:
    """Open the connections that all clients share; proxies come from the environment."""
    return httpx.AsyncClient(limits=httpx.Limits(max_connections=_MAX_CONNECTIONS))
