"""A program that asks the vendor's library for a credential, and prints what came of it.

Its arguments: the role to assume, or ""; the port that stands for every other host, if any.
"""

import asyncio
import socket
import sys
from functools import partial
from typing import Any

from exporter.api.credentials import VendorCredentials, connect_library
from exporter.app.outbound_http import open_blocking_http
from exporter.clock import SystemClock
from exporter.errors import CredentialError


def main() -> None:
    """Print the credential, or why there is none."""
    # It reads the environment when it is imported, and this process was forked from another.
    assert "alibabacloud_credentials" not in sys.modules
    role_arn, *ports = sys.argv[1:]
    if ports:
        keep_inside(ports[0])
    asyncio.run(ask(role_arn))


def keep_inside(other_port: str) -> None:
    """Let every name be the loopback: nothing leaves the machine."""
    resolve = socket.getaddrinfo

    def local(host: object, port: str | int | None, *rest: Any, **more: Any) -> object:  # noqa: ANN401  as the original has them
        return resolve("127.0.0.1", port if host == "127.0.0.1" else other_port, *rest, **more)

    socket.getaddrinfo = local  # type: ignore[assignment]


async def ask(role_arn: str) -> None:
    """Ask as the exporter does."""
    connect = partial(connect_library, open_http=open_blocking_http)
    try:
        found = await VendorCredentials(SystemClock(), role_arn=role_arn, connect=connect).get()
    except CredentialError as error:
        answer = f"error: {error} | {error.advice}"
    else:
        answer = f"found: {found} {found.access_key_secret} {found.security_token}"
    sys.stdout.write(f"{answer}\n")
