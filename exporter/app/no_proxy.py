"""The hosts that `NO_PROXY` exempts from the proxy, with the meanings that Go and httpx give it.

    *                            every host
    example.com                  this host and all below it
    .example.com, *.example.com  all hosts below it
    10.0.0.7, 10.0.0.0/8         an address or a network, for hosts given as addresses
    example.com:8443             only this port
    https://example.com          only this scheme; `all://` is any

Loopback is always exempt. An entry that has none of these forms is kept in `unknown`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, Self

import httpx

_PORTS: Final = {"https": 443, "http": 80}

Rule = Callable[[httpx.URL], bool]


@dataclass(frozen=True, slots=True)
class NoProxy:
    """Which URLs are asked for directly."""

    rules: tuple[Rule, ...]
    unknown: tuple[str, ...]
    """Entries that are not understood, as they were given."""

    @classmethod
    def parse(cls, value: str) -> Self:
        """Read a list of entries, with commas or spaces between them."""
        entries = value.replace(",", " ").split()
        rules = [(entry, _rule(entry.lower())) for entry in entries]
        return cls(
            tuple(rule for _, rule in rules if rule is not None),
            tuple(entry for entry, rule in rules if rule is None),
        )

    def exempts(self, url: httpx.URL) -> bool:
        """Whether a URL is asked for without the proxy."""
        address = _address(url.host)
        is_loopback = url.host == "localhost" or (address is not None and address.is_loopback)
        return is_loopback or any(rule(url) for rule in self.rules)


def _rule(entry: str) -> Rule | None:
    if entry == "*":
        return lambda _url: True
    if "/" in entry and "://" not in entry:
        return _network_rule(entry)
    scheme, _, rest = entry.rpartition("://")
    host = rest.removeprefix("*.").removeprefix(".")
    url = _url(host)
    if url is None or scheme not in {"", "all", *_PORTS}:
        return None
    return _host_rule(url, scheme.removeprefix("all"), below_only=host != rest)


def _network_rule(entry: str) -> Rule | None:
    try:
        network = ip_network(entry, strict=False)
    except ValueError:
        return None

    def contains(url: httpx.URL) -> bool:
        address = _address(url.host)
        return address is not None and address in network

    return contains


def _host_rule(entry: httpx.URL, scheme: str, *, below_only: bool) -> Rule:
    def matches(url: httpx.URL) -> bool:
        host = _host(url)
        is_below = _address(host) is None and host.endswith(f".{_host(entry)}")
        is_host = is_below or (host == _host(entry) and not below_only)
        is_port = entry.port is None or entry.port == (url.port or _PORTS[url.scheme])
        return is_host and is_port and scheme in {"", url.scheme}

    return matches


def _url(host: str) -> httpx.URL | None:
    """Return a host, with a port or not, as a URL; an address of IPv6 may lack its brackets."""
    bare = _address(host)
    try:
        url = httpx.URL(f"all://{f'[{host}]' if isinstance(bare, IPv6Address) else host}")
    except httpx.InvalidURL:
        return None
    is_host = url.host and "*" not in url.host and not url.query and not url.fragment
    return url if is_host and url.path in {"", "/"} else None


def _host(url: httpx.URL) -> str:
    return url.raw_host.decode("ascii").rstrip(".")


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
