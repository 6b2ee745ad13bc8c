"""The address to listen on: `HOST:PORT`, `[::1]:PORT`, or `:PORT` for all interfaces."""

import ipaddress
import re
from dataclasses import dataclass

_ADDRESS = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\[\]\s/]*)):(?P<port>[0-9]{1,5})")
_HIGHEST_PORT = 65535

_ADVICE = "give HOST:PORT such as 127.0.0.1:9825 or [::1]:9825, or :9825 for all interfaces"


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where the web server listens."""

    host: str
    """Without brackets; empty for all interfaces."""

    port: int
    """0 lets the system choose a free one."""

    def __str__(self) -> str:
        """Write the address the way `parse` reads it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(text: str) -> ListenAddress:
    """Read a listen address. Raises `ValueError` that says what to give."""
    match = _ADDRESS.fullmatch(text.strip())
    if match is None or int(match["port"]) > _HIGHEST_PORT:
        raise ValueError(_ADVICE)
    try:
        host = _shortest(match["v6"]) if match["v6"] is not None else match["host"]
        host.encode("idna")  # as the resolver does
    except ValueError:
        raise ValueError(_ADVICE) from None
    return ListenAddress(host, int(match["port"]))


def _shortest(host: str) -> str:
    """Return the canonical form of an IPv6 address, the IPv4 address where it stands for one."""
    address = ipaddress.IPv6Address(host)
    return str(address.ipv4_mapped or address)
