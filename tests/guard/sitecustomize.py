"""The loopback guard: a test, and whatever Python it starts, talks to this machine only.

An audit hook sees every socket call of the interpreter, whoever makes it and on which thread. A
call that would leave the machine is refused and written to a file, so that the test fails even when
the code under test swallows the exception. The folder of this module is on the PYTHONPATH of the
tests' child processes, where Python imports `sitecustomize` at its start: it holds there too.

Out of its sight is the name lookup inside `socket.connect(("name", port))`; the connection is not.
"""

import ipaddress
import os
import socket
import sys
from typing import Any

LOG_VARIABLE = "LOOPBACK_GUARD_LOG"

SOCKET_EVENTS = frozenset({"socket.bind", "socket.connect", "socket.sendmsg", "socket.sendto"})
NAME_EVENTS = frozenset({"socket.getaddrinfo", "socket.gethostbyaddr", "socket.gethostbyname"})


class NotLoopbackError(OSError):
    """A socket call that would have left this machine."""


def is_loopback(host: object) -> bool:
    """Whether a host, a name or an address in text, is this machine and nothing else."""
    name = host.decode() if isinstance(host, bytes | bytearray) else str(host)
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def leaves_machine(event: str, args: tuple[Any, ...]) -> bool:
    """Whether an audit event is a socket call to anywhere but loopback."""
    if event in SOCKET_EVENTS:
        sock, address = args
        if address is None or sock.family == socket.AF_UNIX:
            return False  # None: sendmsg on a connected socket, whose connect was judged
        return not (isinstance(address, tuple) and is_loopback(address[0]))
    if event in NAME_EVENTS:
        return args[0] is not None and not is_loopback(args[0])
    return event == "socket.getnameinfo" and not is_loopback(args[0][0])


def refuse(event: str, args: tuple[Any, ...]) -> None:
    """Raise for a call that would leave the machine, after writing it down (an audit hook)."""
    if not event.startswith("socket.") or not leaves_machine(event, args):
        return
    target = args[0] if event in NAME_EVENTS or event == "socket.getnameinfo" else args[1]
    message = f"{event} to {target!r}: tests may reach loopback addresses only"
    log = os.environ.get(LOG_VARIABLE)
    if log:
        with open(log, "a", encoding="utf-8") as lines:  # noqa: PTH123 - no imports at start-up
            lines.write(message + "\n")
    raise NotLoopbackError(message)


def install() -> None:
    """Guard this process until its end; audit hooks cannot be removed."""
    sys.addaudithook(refuse)


if __name__ == "sitecustomize":
    install()
    # A tool of development has it installed. structlog and httpx would import it, and structlog
    # print tracebacks with it, which they do nowhere else.
    sys.modules["rich"] = None  # type: ignore[assignment]
