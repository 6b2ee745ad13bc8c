"""`python -m exporter.healthcheck` asks the exporter on this machine whether it is healthy.

For containers, whose probes start a process each time: it imports the standard library only. The
exit code is 0 for yes and 1 for no; the exporter's response is printed.

It looks where EMR_EXPORTER_WEB__LISTEN_ADDRESS says, or its first argument: `HOST:PORT`. It speaks
TLS where plain HTTP gets no answer, without checking the certificate: the connection is local, and
nothing secret is sent. A 401 or a request for a client certificate counts as healthy.
"""

import os
import sys
from http.client import (
    HTTPConnection,
    HTTPException,
    HTTPResponse,
    HTTPSConnection,
    RemoteDisconnected,
)
from ssl import CERT_NONE, PROTOCOL_TLS_CLIENT, SSLContext, SSLEOFError

VARIABLE = "EMR_EXPORTER_WEB__LISTEN_ADDRESS"
DEFAULT = "127.0.0.1:9825"
SECONDS = 2.0
"""Timeout of each network operation; up to twice as long if TLS is tried too."""

_ALL_INTERFACES = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}  # noqa: S104 - no bind
_OURS = ("Healthy.", "It asks for")
_OK = 200
_UNAUTHORIZED = 401


def main(address: str) -> int:
    """Ask the exporter that listens on `address`; return the exit code."""
    try:
        is_healthy, said = _ask(*_parted(address))
    except (OSError, HTTPException, ValueError) as error:
        is_healthy, said = False, f"{address} does not answer: {error!r}"
    lines = ("".join(filter(str.isprintable, line)) for line in said.strip().split("\n"))
    print("\n".join(lines))  # noqa: T201 - what `docker inspect` shows
    return 0 if is_healthy else 1


def is_exporter(address: str) -> bool:
    """Whether an exporter answers on `address` and is healthy, as far as it tells."""
    try:
        is_healthy, said = _ask(*_parted(address))
    except (OSError, HTTPException, ValueError):
        return False
    return is_healthy and said.startswith(_OURS)


def _parted(address: str) -> tuple[str, int]:
    """Return the host and port to connect to. Raises `ValueError` if there is no port."""
    host, _, port = address.strip().rpartition(":")
    host = host.strip("[]")
    return _ALL_INTERFACES.get(host, host), int(port)


def _ask(host: str, port: int) -> tuple[bool, str]:
    try:
        return _verdict(HTTPConnection(host, port, timeout=SECONDS))
    except (ConnectionResetError, BrokenPipeError, HTTPException):
        # Connected, and hung up on: so a TLS port treats plain HTTP.
        tls = SSLContext(PROTOCOL_TLS_CLIENT)
        tls.check_hostname, tls.verify_mode = False, CERT_NONE
        try:
            return _verdict(HTTPSConnection(host, port, timeout=SECONDS, context=tls))
        except (RemoteDisconnected, SSLEOFError):
            # After the handshake in TLS 1.3, during it in TLS 1.2: no other cause ends it there.
            return True, "It asks for a certificate."


def _verdict(connection: HTTPConnection) -> tuple[bool, str]:
    try:
        connection.request("GET", "/-/healthy", headers={"Connection": "close"})
        response: HTTPResponse = connection.getresponse()
        if response.status == _UNAUTHORIZED:
            return True, "It asks for a password."
        return response.status == _OK, response.read(1000).decode("utf-8", "replace")
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:] or (os.environ.get(VARIABLE) or DEFAULT,)))
