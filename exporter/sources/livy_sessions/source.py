"""The Livy sessions of one gateway: a history in which ended sessions stay."""

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from exporter import catalog
from exporter.api import PAGE_SIZE, Client, walk_pages
from exporter.clock import Clock
from exporter.errors import LedgerError, PollError
from exporter.ledger import GatewayKey, Ledger
from exporter.model import LIVY_SESSION_STATES, NANO, LivySession, Page, Source, Target
from exporter.snapshot import GroupedSamples, Records, Samples, SampleSet
from exporter.sources.kept import KeptSeries
from exporter.sources.listing import DisappearanceGuard, PollResult, Progress, count_oddities
from exporter.telemetry import Telemetry

SHORT_WALK_PAGES = 5
"""Pages after which a walk counts as a long one, which draws on half of the budget only."""


@dataclass(frozen=True, slots=True)
class SeriesLimits:
    """Which sessions get series of their own.

    `ended_retention` is in seconds from the moment a session's end was first seen.
    """

    ended_retention: float
    max_sessions: int


class LivySessions:
    """Reads the sessions of one Livy gateway and hands their usage to the ledger."""

    def __init__(
        self,
        target: Target,
        client: Client,
        *,
        ledger: Ledger,
        telemetry: Telemetry,
        clock: Clock,
        limits: SeriesLimits,
    ) -> None:
        self.target = target
        self._gateway: GatewayKey = (target.workspace_id, target.livy_compute_id)
        self._client = client
        self._ledger = ledger
        self._telemetry = telemetry
        self._clock = clock
        self._limits = limits
        self._kept = kept_series(self._gateway)
        self._guard = DisappearanceGuard()

    async def poll(self, progress: Progress) -> PollResult:
        """Read the complete listing and count its usage durably.

        Raises `PollError`. What a walk read before it failed is counted all the same: usage
        that was reported is true whether or not the rest could be read.
        """
        read: list[LivySession] = []

        def on_page(page: Page[LivySession], *_: object) -> None:
            count_oddities(self._telemetry, Source.LIVY_SESSIONS, page)
            read.extend(page.records)
            progress()

        try:
            listing = await walk_pages(
                partial(self._fetch, progress),
                size=PAGE_SIZE,
                key=_identity,
                on_page=on_page,
            )
            self._guard.check(len(listing.records))
        except PollError:
            await self._count_partly(read)
            raise
        ended, trouble = await asyncio.to_thread(self._count, read, listing.malformed)
        most = self._limits.max_sessions
        gauges = samples(self._gateway, listing.records, ended, most, self._kept)
        return PollResult(gauges, trouble, Records(sessions=self._kept.shown))

    async def _fetch(self, progress: Progress, number: int) -> Page[LivySession]:
        return await self._client.livy_sessions_page(
            *self._gateway, number, in_bulk=number > SHORT_WALK_PAGES, on_wait=progress
        )

    async def _count_partly(self, read: Sequence[LivySession]) -> None:
        """Count what was read before the walk failed, which is the error worth telling."""
        with suppress(LedgerError):
            await asyncio.to_thread(
                self._ledger.apply_sessions, self._gateway, read, is_complete=False
            )

    def _count(
        self, read: Sequence[LivySession], malformed: frozenset[str]
    ) -> tuple[frozenset[str], LedgerError | None]:
        """Apply a complete listing; give the ids of the sessions that ended not long ago.

        It is every reading that counts, not only the last one of each session: an estimate
        that was revised down while the walk was on its way was reported all the same.
        """
        since = self._clock.now() - self._limits.ended_retention
        try:
            self._ledger.apply_sessions(self._gateway, read, is_complete=True, unreadable=malformed)
            return self._ledger.ended_since(self._gateway, since), None
        except LedgerError as error:
            return frozenset(), error


def _identity(session: LivySession) -> tuple[str, int | None]:
    """Tell rows apart: ids may be reused, by a session that was created later."""
    return session.session_id, session.created_ms


def kept_series(gateway: GatewayKey) -> KeptSeries[LivySession]:
    """Keep the series of the sessions of a gateway."""
    return KeptSeries(partial(_of_session, gateway))


def samples(
    gateway: GatewayKey,
    sessions: Sequence[LivySession],
    recently_ended: Collection[str],
    max_sessions: int,
    kept: KeptSeries[LivySession] | None = None,
) -> Samples:
    """Give the gauges of a complete listing; of those in `kept`, only what changed is new.

    Live sessions and those whose id is among `recently_ended` have series of their own, but
    no more than `max_sessions` of them.
    """
    found = SampleSet()
    counts = Counter((each.queue, each.state) for each in sessions)
    for queue in sorted({queue for queue, _ in counts}):
        for state in LIVY_SESSION_STATES:
            found.add(catalog.LIVY_SESSIONS, (*gateway, queue, state), counts[queue, state])
    chosen = _newest_of_each_id(sessions, recently_ended)
    chosen.sort(key=_precedence)
    shown = {session.session_id: session for session in chosen[:max_sessions]}
    found.add(catalog.SESSIONS_WITHOUT_SERIES, gateway, len(chosen) - len(shown))
    series = kept or kept_series(gateway)
    return GroupedSamples((found.freeze(), *series.of(shown)))


def _newest_of_each_id(
    sessions: Sequence[LivySession], recently_ended: Collection[str]
) -> list[LivySession]:
    newest: dict[str, LivySession] = {}
    for session in sessions:
        other = newest.get(session.session_id)
        if other is None or _created(session) > _created(other):
            newest[session.session_id] = session
    return [
        session
        for session in newest.values()
        if not session.has_ended or session.session_id in recently_ended
    ]


def _precedence(session: LivySession) -> tuple[int, float, str]:
    """Order sessions by who keeps its series: failed, then live by newest, then ended."""
    rank = 0 if session.state == "error" else 2 if session.has_ended else 1
    return rank, -_created(session), session.session_id


def _created(session: LivySession) -> float:
    return float("inf") if session.created_ms is None else session.created_ms


def _of_session(gateway: GatewayKey, session: LivySession) -> Samples:
    found = SampleSet()
    labels = (*gateway, session.session_id)
    found.add_state(catalog.LIVY_SESSION_STATE, labels, LIVY_SESSION_STATES, session.state)
    attributes = (session.name, session.queue, session.proxy_user)
    found.add(catalog.LIVY_SESSION_INFO, (*labels, *attributes), 1)
    found.add(catalog.LIVY_SESSION_CREATED, labels, _divided(session.created_ms, 1000))
    if session.has_ended:
        found.add(catalog.LIVY_SESSION_END, labels, _divided(session.ended_ms, 1000))
    usage = session.usage
    found.add(catalog.LIVY_SESSION_CU_HOURS, labels, _divided(usage.nano_cu_hours, NANO))
    found.add(catalog.LIVY_SESSION_VCORE_SECONDS, labels, usage.vcore_seconds)
    found.add(catalog.LIVY_SESSION_MB_SECONDS, labels, usage.mb_seconds)
    return found.freeze()


def _divided(value: int | None, by: int) -> float | None:
    return None if value is None else value / by
