"""A client of the API with what it needs in most tests: no meter, and a rate that is no limit."""

import httpx

from exporter.api import Client, Credential, NullMeter, RateLimiter, StaticCredentials
from exporter.clock import Clock
from exporter.demo import DEMO_KEY_ID, DEMO_KEY_SECRET

CREDENTIAL = Credential(DEMO_KEY_ID, DEMO_KEY_SECRET, "", "test")


def client_of(
    http: httpx.AsyncClient,
    endpoint: str,
    clock: Clock,
    *,
    credential: Credential = CREDENTIAL,
    limiter: RateLimiter | None = None,
    max_attempts: int = 4,
    timeout: float = 10.0,
    max_response_bytes: int = 2**24,
) -> Client:
    """Return a client that signs with the demo's key."""
    return Client(
        http,
        region_id="cn-hangzhou",
        endpoint=endpoint,
        credentials=StaticCredentials(credential),
        limiter=limiter or RateLimiter(clock, 1e9),
        meter=NullMeter(),
        clock=clock,
        max_attempts=max_attempts,
        timeout=timeout,
        total_timeout=60.0,
        max_response_bytes=max_response_bytes,
    )
