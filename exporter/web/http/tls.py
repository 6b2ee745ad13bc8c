"""TLS on one connection."""

from asyncio.sslproto import SSLProtocol


class TlsProtocol(SSLProtocol):
    """asyncio's protocol, with a small buffer: its own takes 256 KiB for each connection."""

    max_size = 16 * 1024  # a record of TLS
