"""The end of the notification socket that systemd has."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.processes import eventually


class Systemd:
    """The end of the socket that systemd has."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.heard: list[str] = []

    def listen(self) -> list[str]:
        """Take what has come; give all that was ever said."""
        while True:
            try:
                self.heard.append(self._listener.recv(4096).decode())
            except BlockingIOError:
                return self.heard

    async def hears(self, message: str, times: int = 1) -> None:
        """Wait until something was said so many times."""

        async def is_heard() -> bool:
            return self.listen().count(message) >= times

        await eventually(is_heard, seconds=30)

    async def listens_for(self, seconds: int) -> None:
        """Take what comes for so long, on simulated time; a full socket would refuse the next."""
        for _ in range(seconds):
            await asyncio.sleep(1)
            self.listen()


@contextmanager
def systemd(address: str) -> Iterator[Systemd]:
    """Listen at an address as systemd does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        listener.setblocking(False)
        yield Systemd(listener)
