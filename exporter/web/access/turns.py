"""A queue for slow work that is done one at a time, fair to each peer."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

_MAX_WAITING: Final = 64


class PushedOutError(Exception):
    """Too many newer requests wait; this one was dropped from the queue."""


class Turns:
    """Peers take turns, and of one peer the newest goes first.

    So a flood from one address does not delay another one, and a flood of clients that wait for
    their answers does not delay a newcomer from the same address: after a check, only the client
    that was answered asks again.
    """

    def __init__(self, most: int = _MAX_WAITING) -> None:
        """Let `most` wait; of the peer with the most, the oldest is pushed out by a newcomer."""
        self._most = most
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._is_taken = False

    @asynccontextmanager
    async def turn(self, peer: str) -> AsyncIterator[None]:
        """Wait for a turn, and have it inside the block. Raises `PushedOutError`."""
        if self._is_taken:
            await self._wait(peer)
        self._is_taken = True
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, peer: str) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(peer, deque()).append(turn)
        if sum(map(len, self._waiting.values())) > self._most:
            self._push_out_oldest()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._pass_on()
            raise

    def _push_out_oldest(self) -> None:
        """Of the peer with the most that wait; the newcomer itself is the newest of its own."""
        peer = max(self._waiting, key=lambda peer: len(self._waiting[peer]))
        oldest = self._waiting[peer].popleft()
        if not self._waiting[peer]:
            del self._waiting[peer]
        if not oldest.done():
            oldest.set_exception(PushedOutError())

    def _pass_on(self) -> None:
        self._is_taken = False
        while self._waiting and not self._is_taken:
            peer, turns = self._waiting.popitem(last=False)
            newest = turns.pop()
            if turns:
                self._waiting[peer] = turns
            if not newest.done():
                newest.set_result(None)
                self._is_taken = True
