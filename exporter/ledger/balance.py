"""Compares the ledger of a gateway with its listing: whether every CU-hour is accounted for.

For each queue of a gateway, in nano-CU-hours:

    exported + held back + advanced = listed + overcounted + no longer listed

`advanced` is what the service has reported since the ledger's last commit. It does not count as a
difference, because the ledger of a running daemon is always a little older than the listing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from exporter import catalog
from exporter.ledger.counters import CounterValue
from exporter.ledger.counting import Key, SessionRow
from exporter.ledger.matching import TOLERANCE_MS, match
from exporter.model import LivySession


@dataclass(frozen=True, slots=True)
class GatewayRecord:
    """The ledger's data of one gateway, read in one transaction."""

    key: tuple[str, str]
    has_contact: bool = False
    dropped_ms: int | None = None
    forgotten: Mapping[str, Sequence[int]] = field(default_factory=dict)
    rows: tuple[SessionRow, ...] = ()
    remainder: Mapping[str, int] = field(default_factory=dict)
    counters: Mapping[Key, CounterValue] = field(default_factory=dict)


class Balance(NamedTuple):
    """The two sides for one queue of one gateway, in nano-CU-hours."""

    queue: str
    exported: int
    held_back: int
    advanced: int
    listed: int
    overcounted: int
    no_longer_listed: int

    @property
    def difference(self) -> int:
        """The CU-hours that are unaccounted for: 0 if the ledger is right."""
        return (
            self.exported
            + self.held_back
            + self.advanced
            - self.listed
            - self.overcounted
            - self.no_longer_listed
        )


def balances(record: GatewayRecord, listing: Iterable[LivySession]) -> list[Balance]:
    """Return the balance of each queue of a gateway."""
    listed: defaultdict[str, int] = defaultdict(int)
    advanced: defaultdict[str, int] = defaultdict(int)
    gone: defaultdict[str, int] = defaultdict(int, record.remainder)
    for known in record.rows:
        gone[known.queue] += known.latest_nano_cu_hours
    for row, session in _matched(record.rows, listing):
        queue = row.queue if row else session.queue
        was = row.latest_nano_cu_hours if row else 0
        is_now = session.usage.nano_cu_hours
        now = was if is_now is None else is_now
        listed[queue] += now
        if row is None and _was_forgotten(session, record):
            gone[queue] -= now
        else:
            advanced[queue] += now - was
            gone[queue] -= was
    queues = {*listed, *gone, *(key.labels[-1] for key in record.counters)}
    return [
        _balance(record, queue, listed[queue], advanced[queue], gone[queue])
        for queue in sorted(queues)
    ]


def _balance(record: GatewayRecord, queue: str, listed: int, advanced: int, gone: int) -> Balance:
    labels = (*record.key, queue)
    total = record.counters.get(Key(catalog.LIVY_CU_HOURS, labels), CounterValue(0, 0))
    overcounted = record.counters.get(Key(catalog.LIVY_OVERCOUNTED, labels), CounterValue(0, 0))
    return Balance(
        queue,
        exported=total.published,
        held_back=total.actual - total.published,
        advanced=advanced,
        listed=listed,
        overcounted=overcounted.actual,
        no_longer_listed=gone,
    )


def _matched(
    rows: Iterable[SessionRow], listing: Iterable[LivySession]
) -> Iterable[tuple[SessionRow | None, LivySession]]:
    rows_by_id: defaultdict[str, list[SessionRow]] = defaultdict(list)
    for known in rows:
        rows_by_id[known.session_id].append(known)
    sessions_by_id: defaultdict[str, list[LivySession]] = defaultdict(list)
    for session in listing:
        sessions_by_id[session.session_id].append(session)
    for session_id, sessions in sessions_by_id.items():
        yield from ((row, some[-1]) for row, some in match(rows_by_id[session_id], sessions))


def _was_forgotten(session: LivySession, record: GatewayRecord) -> bool:
    """Whether the row of a session without a row was dropped at some time."""
    created = session.created_ms
    if created is not None and record.dropped_ms is not None and created <= record.dropped_ms:
        return True
    known = record.forgotten.get(session.session_id, ())
    return any(created is None or abs(created - at) <= TOLERANCE_MS for at in known)
