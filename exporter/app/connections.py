"""The connections to the API, as the usual variables of the environment say.

Read by hand, because httpx ends in a traceback that may quote a part of a proxy's password where
it does not understand `HTTPS_PROXY`, and in one where `NO_PROXY` names a network of IPv6.
"""

import os
import ssl
from dataclasses import dataclass
from typing import Final
from urllib.request import getproxies, proxy_bypass

import httpx

from exporter.errors import SettingsError

# The budgets bound their number: by a common bound, a region that hangs would stop the others. Idle
# ones are kept from one poll to the next, since a TLS handshake costs more than all the rest of it.
_LIMITS: Final = httpx.Limits(
    max_connections=None, max_keepalive_connections=20, keepalive_expiry=50.0
)


def open_http() -> httpx.AsyncClient:
    """Open the connections that all clients share.

    Plain HTTP is for loopback alone, so no proxy is asked for it. Raises `SettingsError` where
    `HTTPS_PROXY`, `ALL_PROXY` or `SSL_CERT_FILE` is of no use.
    """
    proxy, trusted = _proxy(), _trusted()
    direct = httpx.AsyncHTTPTransport(verify=trusted, limits=_LIMITS)
    mounts = {}
    if proxy is not None:
        proxied = httpx.AsyncHTTPTransport(verify=trusted, limits=_LIMITS, proxy=proxy)
        mounts = {"https://": _Proxied(proxied, direct)}
    return httpx.AsyncClient(transport=direct, mounts=mounts, trust_env=False)


@dataclass(frozen=True, slots=True)
class _Proxied(httpx.AsyncBaseTransport):
    """Goes through a proxy, but for the hosts that `NO_PROXY` names."""

    proxied: httpx.AsyncBaseTransport
    direct: httpx.AsyncBaseTransport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        is_direct = proxy_bypass(request.url.host) or proxy_bypass(request.url.netloc.decode())
        return await (self.direct if is_direct else self.proxied).handle_async_request(request)

    async def aclose(self) -> None:
        await self.proxied.aclose()  # the client closes the other one


def _proxy() -> httpx.Proxy | None:
    """Give the proxy for HTTPS; its address may hold a password, so an error does not quote it."""
    proxies = getproxies()
    scheme = "https" if "https" in proxies else "all"
    address = proxies.get(scheme, "").strip()
    if not address:
        return None
    try:
        url = httpx.URL(address if "://" in address else f"http://{address}")
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in {"http", "https"} or not url.host:
        raise SettingsError(
            f"{scheme.upper()}_PROXY: give the URL of an HTTP proxy, such as http://proxy:3128"
            " (not SOCKS; a password percent-encoded), or unset it"
        )
    return httpx.Proxy(url)


def _trusted() -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        holds_none = isinstance(error, ssl.SSLError)
        raise SettingsError(
            f"SSL_CERT_FILE={os.environ.get('SSL_CERT_FILE')}:"
            f" {'it holds no certificate' if holds_none else error.strerror};"
            " name a file with certificates in PEM form, or unset it"
        ) from None
