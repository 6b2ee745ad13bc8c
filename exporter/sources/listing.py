"""What all sources need to read a listing."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from exporter.errors import IncompleteError, LedgerError
from exporter.model import LivySession, Page, SessionCluster, Target
from exporter.snapshot import NO_RECORDS, Records, Samples, ScanProgress
from exporter.telemetry import Telemetry

_log = structlog.get_logger(__name__)

MALFORMED = "records_malformed"
STRANGE = "states_unknown"

_NAMED = 10
"""Records or states that one line of the log names at most."""


class Progress(Protocol):
    """Called whenever something arrives, so that the caller can extend its deadline."""

    def __call__(self, scan: ScanProgress | None = None, /) -> None:
        """Note progress; `scan` is the progress of a full scan."""


@dataclass(frozen=True, slots=True)
class PollResult:
    """What a poll publishes.

    Where there is a `ledger_error`, the gauges are true, but what they report could not be
    counted; it will be when the ledger can be written again.
    """

    gauges: Samples
    ledger_error: LedgerError | None = None
    records: Records = NO_RECORDS


class DisappearanceGuard:
    """Believes an empty listing only when two polls in a row report it.

    What was listed before is known from this process, or from the ledger: a target may be new to
    the process because of a restart, or because it has come back.
    """

    def __init__(self, listed: Callable[[], Awaitable[int]]) -> None:
        """Ask `listed` for the size of the last listing in the ledger."""
        self._listed = listed
        self._last_count: int | None = None
        self._empty_in_a_row = 0

    async def check(self, count: int) -> bool:
        """Judge a complete listing of `count` records.

        Raises `IncompleteError` for the first empty listing after one that was not empty.
        Returns whether the listing is confirmed: an empty one of a target that never listed
        anything is shown, but is confirmed only by a second one.
        """
        if count:
            self._last_count, self._empty_in_a_row = count, 0
            return True
        self._empty_in_a_row += 1
        if self._empty_in_a_row > 1:
            self._last_count = 0
            return True
        before = self._last_count
        if before is None:
            before = await self._listed()
        if before:
            raise IncompleteError(
                f"the service lists nothing where it listed {before} before",
                advice="nothing to do: the empty list is accepted if the next poll returns it "
                "again",
            )
        return False


def record_anomalies(
    telemetry: Telemetry, target: Target, page: Page[LivySession] | Page[SessionCluster]
) -> None:
    """Count the records and states of a page that could not be understood; log the new ones."""
    strange = [record.strange_state for record in page.records if record.strange_state]
    records, states = telemetry.records_read(
        target, malformed=page.malformed, strange_states=strange
    )
    if records:
        named = ", ".join(records[:_NAMED])
        _log.warning(MALFORMED, target=str(target), records=named, count=len(records))
    if states:
        _log.warning(STRANGE, target=str(target), states=", ".join(states[:_NAMED]))
