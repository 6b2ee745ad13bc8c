"""The signals that end the process, handled from its first moment.

The kernel drops each signal that PID 1 does not handle, and a container's command is PID 1.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

Handler = Callable[[int, FrameType | None], None]

_ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_IGNORED: Final = (signal.SIGUSR1, signal.SIGUSR2)

_CLEANUP_SECONDS: Final = 2.0
"""How long a command may take to end, where a thread waits for a service that hangs, say."""

_LAST_WORD_SECONDS: Final = 0.2


class Interrupted(KeyboardInterrupt):
    """A signal has ended the command."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number
        """As shells report it."""


def handle_from_start(*, is_daemon: bool) -> None:
    """End at once on the signals that end a process; ignore those meant for other programs.

    The exit code is 0 for a daemon, which ends by a signal only. SIGHUP ends what runs on a
    terminal, which is gone then; elsewhere it asks to read files again, which needs no signal.
    """

    def end(number: int, _frame: FrameType | None) -> None:
        # No exception: it could be raised anywhere, and libraries that are being loaded panic.
        os._exit(0 if is_daemon else 128 + number)

    for number in _ENDING:
        signal.signal(number, end)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    if not any(map(os.isatty, range(3))):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    elif signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup wants it
        signal.signal(signal.SIGHUP, end)


def _interrupt() -> None:
    raise KeyboardInterrupt


@contextmanager
def handled_by(handler: Handler) -> Iterator[None]:
    """Let `handler` have the signals that would end the process, while the block runs."""
    numbers = (*_ENDING, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    taken = [number for number in numbers if before[number] != signal.SIG_IGN]
    for number in taken:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])


@contextmanager
def interrupting(cancel: Callable[[], object] = _interrupt) -> Iterator[None]:
    """Call `cancel` on the first signal that ends the process; raise `Interrupted` after the block.

    The second signal ends the process at once, and so does the time that cleaning up may take.
    """
    caught: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        if caught:
            os._exit(128 + number)
        caught.append(number)
        force_exit_after(_CLEANUP_SECONDS, 128 + number)
        cancel()

    with handled_by(handle):
        try:
            yield
        finally:
            if caught:
                raise Interrupted(caught[0])


def force_exit_after(
    seconds: float, exit_code: int, last_word: Callable[[], None] = lambda: None
) -> None:
    """End the process after so long if it still runs, whatever it waits for.

    It uses an alarm, because it may be impossible to start a thread. `last_word` is called first
    and has a moment to run: it may be the log that hangs.
    """

    def end(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGALRM, lambda *_: os._exit(exit_code))
        signal.setitimer(signal.ITIMER_REAL, _LAST_WORD_SECONDS)
        try:
            last_word()
        finally:
            os._exit(exit_code)

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
