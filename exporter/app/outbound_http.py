"""Connections to the API and to STS, as the usual variables of the environment say.

The variables are read here, because httpx ends in a traceback that may quote a part of a proxy's
password where it does not understand `HTTPS_PROXY`, and in one where `NO_PROXY` names a network of
IPv6; and because the vendor's credential library gives them other meanings. No cookie is kept.
"""

import errno
import os
import ssl
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Final
from urllib.request import getproxies

import httpx
import structlog

from exporter.app.no_proxy import NoProxy
from exporter.errors import SettingsError

NO_PROXY_ENTRY_IGNORED: Final = "no_proxy_entry_ignored"

_log = structlog.get_logger(__name__)

# The rate limiters bound their number: with a common bound, a region that hangs would stop the
# others. Idle ones are kept from one poll to the next, since a TLS handshake is what costs most.
_LIMITS: Final = httpx.Limits(
    max_connections=None, max_keepalive_connections=20, keepalive_expiry=50.0
)


def open_http() -> httpx.AsyncClient:
    """Open the connections that all clients share.

    Plain HTTP is for loopback alone, so it never goes through a proxy. Raises `SettingsError`
    if a variable is invalid.
    """
    proxy, trusted, no_proxy = _proxy(), _trusted(), _no_proxy()
    for entry in no_proxy.unknown:
        _log.warning(NO_PROXY_ENTRY_IGNORED, entry=entry)
    direct = httpx.AsyncHTTPTransport(verify=trusted, limits=_LIMITS)
    mounts = {}
    if proxy is not None:
        proxied = httpx.AsyncHTTPTransport(verify=trusted, limits=_LIMITS, proxy=proxy)
        mounts = {"https://": _Proxied(proxied, direct, no_proxy)}
    http = httpx.AsyncClient(transport=direct, mounts=mounts, trust_env=False)
    http.cookies.jar.set_policy(_no_cookies())
    return http


def open_loopback_http() -> httpx.AsyncClient:
    """Open connections that speak plain HTTP: no variable of the environment concerns them."""
    http = httpx.AsyncClient(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), trust_env=False)
    http.cookies.jar.set_policy(_no_cookies())
    return http


def open_blocking_http(url: httpx.URL) -> httpx.Client:
    """Open a client for one request to `url` from a thread; it goes the same way as all others."""
    is_direct = url.scheme != "https" or _no_proxy().exempts(url)
    return httpx.Client(verify=_trusted(), proxy=None if is_direct else _proxy(), trust_env=False)


@dataclass(frozen=True, slots=True)
class _Proxied(httpx.AsyncBaseTransport):
    """Goes through a proxy, but for the hosts that `NO_PROXY` names."""

    proxied: httpx.AsyncBaseTransport
    direct: httpx.AsyncBaseTransport
    no_proxy: NoProxy

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        is_direct = self.no_proxy.exempts(request.url)
        return await (self.direct if is_direct else self.proxied).handle_async_request(request)

    async def aclose(self) -> None:
        await self.proxied.aclose()  # the client closes the other one


def _no_cookies() -> DefaultCookiePolicy:
    return DefaultCookiePolicy(allowed_domains=[])


def _no_proxy() -> NoProxy:
    return NoProxy.parse(getproxies().get("no", ""))


def _proxy() -> httpx.Proxy | None:
    """Return the proxy for HTTPS; its URL may hold a password, so an error does not quote it."""
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
    """Return what certificates are checked by, as httpx and OpenSSL read the environment."""
    _check_key_log()
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if not file and folder and not any(map(os.path.isdir, folder.split(os.pathsep))):
        raise SettingsError(
            f"SSL_CERT_DIR={folder}: no such folder; name one with certificates in PEM form,"
            " prepared by `openssl rehash`, or unset it"
        )
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        raise SettingsError(_useless_bundle(file, error)) from None


def _check_key_log() -> None:
    """Raise `SettingsError` if OpenSSL could not log the keys of sessions."""
    path = os.environ.get("SSLKEYLOGFILE")
    if not path:
        return
    try:
        with Path(path).open("ab"):
            pass
    except OSError as error:
        raise SettingsError(
            f"SSLKEYLOGFILE={path}: {error.strerror}; name a file that can be written, or unset it"
        ) from None


def _useless_bundle(file: str | None, error: OSError) -> str:
    why = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        return f"certificates cannot be read: {why}; raise the limit of open files (ulimit -n)"
    if file:
        return (
            f"SSL_CERT_FILE={file}: {why}; name a file with certificates in PEM form, or unset it"
        )
    return (
        f"the certificates of the package certifi cannot be read: {why}; reinstall it, or name a "
        f"file with certificates in SSL_CERT_FILE"
    )
