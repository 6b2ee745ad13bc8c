"""Notifications to systemd by the protocol of `sd_notify(3)`: datagrams of lines `NAME=value`.

Without systemd, nothing is sent.
"""

import os
import socket
from collections.abc import Mapping
from typing import Self

import structlog

_log = structlog.get_logger(__name__)

NOTIFY_FAILED = "sd_notify_failed"

_MICROSECONDS = 1_000_000


class Notifier:
    """Reports the state of the process to systemd; what cannot be sent is logged at debug."""

    def __init__(self, address: str = "", watchdog_seconds: float = 0.0) -> None:
        """Send to the socket at `address`: a path, or a name after `@`; empty to send nothing."""
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._last_status = ""
        self.watchdog_seconds = watchdog_seconds
        """The process is taken for hung when no `alive` comes for so long; 0 for never."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Read the variables that systemd sets; the watchdog may be meant for another process."""
        microseconds = environ.get("WATCHDOG_USEC", "")
        is_for_us = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        seconds = int(microseconds) / _MICROSECONDS if microseconds.isdecimal() else 0.0
        return cls(environ.get("NOTIFY_SOCKET", ""), seconds if is_for_us else 0.0)

    def ready(self) -> None:
        """Report that the start is complete."""
        self._send("READY=1")

    def stopping(self) -> None:
        """Report that the process is stopping."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """Send a status line for `systemctl status`, unless it is the same as the last one."""
        line = " ".join(text.split())
        if line != self._last_status:
            self._last_status = line
            self._send(f"STATUS={line}")

    def alive(self) -> None:
        """Send a keep-alive to the watchdog."""
        if self.watchdog_seconds:
            self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)  # noqa: FBT003  the socket's own signature
                sender.sendto(message.encode(), self._address)
        except OSError as error:
            _log.debug(NOTIFY_FAILED, error=error.strerror or str(error))
