"""What the sources have in common when they read a listing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from exporter.errors import IncompleteError, LedgerError
from exporter.model import LivySession, Page, SessionCluster, Source
from exporter.snapshot import NO_RECORDS, Records, Samples, WalkProgress
from exporter.telemetry import Telemetry


class Progress(Protocol):
    """Is called whenever something has arrived: a walk lives as long as pages come."""

    def __call__(self, walked: WalkProgress | None = None, /) -> None:
        """Take note; `walked` tells how far a complete walk of a history has come."""


@dataclass(frozen=True, slots=True)
class PollResult:
    """What a complete listing says.

    `ledger_error` tells that the gauges are true, but that what they report could not be
    counted: it will be when the ledger can be written again.
    """

    gauges: Samples
    ledger_error: LedgerError | None = None
    records: Records = NO_RECORDS


class DisappearanceGuard:
    """Believes "nothing where there was something" only when it is said twice."""

    def __init__(self) -> None:
        self._last_count = 0
        self._is_confirming = False

    def check(self, count: int) -> None:
        """Take note of how many records a complete listing holds.

        Raises `IncompleteError` for the first empty listing after one that was not.
        """
        if count == 0 and self._last_count and not self._is_confirming:
            self._is_confirming = True
            raise IncompleteError(
                f"the service lists nothing where it listed {self._last_count} before",
                advice="nothing to do: it is believed when the next poll says the same",
            )
        self._is_confirming = False
        self._last_count = count


def count_oddities(
    telemetry: Telemetry, source: Source, page: Page[LivySession] | Page[SessionCluster]
) -> None:
    """Count what could not be understood on a page."""
    telemetry.records_read(
        source,
        malformed=len(page.malformed),
        unknown_states=_unknown_states(page.records),
    )


def _unknown_states(records: Sequence[LivySession | SessionCluster]) -> int:
    return sum(not record.state_known for record in records)
