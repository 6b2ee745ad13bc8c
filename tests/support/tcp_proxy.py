"""A TCP proxy on the loopback that can hang, delay or cut what goes through it.

with tcp_proxy(cluster.port) as proxy:
    database = database.at(proxy.port)
    proxy.hang(to_server=False)
"""

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

_MAX_BYTES = 2**16
_PARSE, _SYNC = b"P", b"S\0\0\0\4"
"""What a pipeline of PostgreSQL begins and ends with."""


class TcpProxy:
    """Passes bytes on between clients and a port; any thread may call its methods.

    What hangs is passed on when `resume` is called, as after an interruption of a network.
    """

    def __init__(self, listener: socket.socket, upstream_port: int) -> None:
        self.port: int = listener.getsockname()[1]
        self.connections = 0
        """The number of connections so far."""
        self._ended: list[threading.Event] = []  # threads append to it at the same time
        self.round_trips = 0
        """How often a client said something after it was answered, or for the first time."""
        self._unanswered: set[socket.socket] = set()
        self._listener = listener
        self._upstream = ("127.0.0.1", upstream_port)
        self.delay = 0.0
        """Seconds by which everything is passed on later, in each direction."""
        self.is_held = False
        """Whether the pipeline that `hang_at` asked for has come, all of it."""
        self._to_server, self._to_client = threading.Event(), threading.Event()
        self._is_refusing = False
        self._last_answered = b""
        self._held: Sequence[bytes] = ()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.resume()

    @property
    def ended(self) -> int:
        """How many connections the server has ended, as the clients know by now."""
        return self._ended.count(self._to_client)

    def hang(self, *, to_server: bool = True, to_client: bool = True) -> None:
        """Pass nothing on, in both directions or in one; connections are accepted."""
        if to_server:
            self._to_server.clear()
        if to_client:
            self._to_client.clear()

    def hang_after(self, request: bytes) -> None:
        """Pass on the next bytes of a client that hold `request`, and then no answer."""
        self._last_answered = request

    def hang_at(self, *parts: bytes) -> None:
        """Pass nothing on to the server from a pipeline on that holds all these parts."""
        self._held = parts

    def lead_to(self, port: int) -> None:
        """Close all connections, and lead new ones to another port, as after a fail-over."""
        self._upstream = ("127.0.0.1", port)
        self.cut()

    def cut(self) -> None:
        """Close all connections; what hangs is lost."""
        for connection in self._sockets:
            with suppress(OSError):  # it has ended before
                connection.shutdown(socket.SHUT_RDWR)

    def refuse(self) -> None:
        """Close all connections, and new ones at once."""
        self._is_refusing = True
        self.cut()

    def resume(self) -> None:
        """Pass everything on again, what hangs first."""
        self._is_refusing = False
        self._last_answered, self._held, self.is_held = b"", (), False
        self._to_server.set()
        self._to_client.set()

    def run(self) -> None:
        """Accept connections until the listener is shut down."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                self._sockets.append(client)
                self._connect(client)

    def close(self) -> None:
        """Close all connections, and wait until nothing is passed on."""
        self.resume()
        self.cut()
        for thread in self._threads:
            thread.join()
        for connection in self._sockets:
            connection.close()

    def _connect(self, client: socket.socket) -> None:
        server = socket.socket()
        self._sockets.append(server)
        if self._is_refusing or server.connect_ex(self._upstream) != 0:
            client.shutdown(socket.SHUT_RDWR)
            return
        for direction in (
            (client, server, self._to_server),
            (server, client, self._to_client),
        ):
            thread = threading.Thread(target=self._pass_on, args=direction)
            self._threads.append(thread)
            thread.start()

    def _pass_on(
        self, source: socket.socket, sink: socket.socket, may_pass: threading.Event
    ) -> None:
        data = b"-"
        while data:
            data = _received(source)
            time.sleep(self.delay)
            if may_pass is self._to_server and self._held and data.startswith(_PARSE):
                while _SYNC not in data and (more := _received(source)):
                    data += more
                if all(part in data for part in self._held):
                    self._held = ()
                    may_pass.clear()
                    self.is_held = True
            may_pass.wait()
            if may_pass is self._to_server and self._last_answered and self._last_answered in data:
                self._to_client.clear()
            if data and may_pass is self._to_server and source not in self._unanswered:
                self._unanswered.add(source)
                self.round_trips += 1
            elif may_pass is self._to_client:
                self._unanswered.discard(sink)
            with suppress(OSError):  # the other side has ended
                sink.sendall(data) if data else sink.shutdown(socket.SHUT_WR)
        self._ended.append(may_pass)


def _received(source: socket.socket) -> bytes:
    """Return what has come next, or nothing once the connection has ended."""
    try:
        return source.recv(_MAX_BYTES)
    except OSError:
        return b""


@contextmanager
def tcp_proxy(upstream_port: int) -> Iterator[TcpProxy]:
    """Run a proxy before a port of the loopback inside the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = TcpProxy(listener, upstream_port)
        accepting = threading.Thread(target=proxy.run)
        accepting.start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            proxy.close()
