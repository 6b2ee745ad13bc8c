"""Polls one gateway: a short poll where that is enough, else a complete walk."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import structlog

from exporter import catalog
from exporter.api import PAGE_SIZE, Client
from exporter.clock import Clock
from exporter.errors import ApiError, IncompleteError, LedgerError, PollError, ServerError
from exporter.ledger import GatewayKey, GatewayScan, Ledger, SessionKey
from exporter.model import LivySession, Page, Source, Target
from exporter.snapshot import GroupedSamples, Records, Samples, SampleSet, WalkProgress, groups_of
from exporter.sources.listing import DisappearanceGuard, PollResult, Progress, count_oddities
from exporter.sources.livy_sessions.absorbing import absorb
from exporter.sources.livy_sessions.checking import Check, left_since
from exporter.sources.livy_sessions.front import Surprise
from exporter.sources.livy_sessions.history import History, Identities, Row, Watched
from exporter.sources.livy_sessions.order import Order
from exporter.sources.livy_sessions.planner import ShortPoll
from exporter.sources.livy_sessions.reading import rows_of
from exporter.sources.livy_sessions.series import kept_series, samples
from exporter.sources.livy_sessions.walking import CompleteWalk
from exporter.sources.livy_sessions.watching import Watch, presume_ended
from exporter.telemetry import Telemetry

_log = structlog.get_logger(__name__)

WALK_GOES_ON = "walk_goes_on"
HISTORY_SURPRISED = "history_surprised"
NO_USABLE_ORDER = "no_usable_order"
HISTORY_TRUNCATED = "history_truncated"

SMALL_PAGES = 3
"""A history of so many pages is read completely in every poll: that is as cheap."""

MAX_SURPRISES = 3
"""Complete walks in a row that the next short poll contradicts, until no order is believed."""

RESUME_SECONDS = 1800.0
"""The longest pause after which a long walk goes on where it failed; else it begins anew."""

FRESH_SECONDS = 60.0
"""After a longer walk the new end and the open rows are read again before it is published."""

LOG_SECONDS = 15.0
"""Between two lines about how far a walk has come."""

TRUNCATED_WALKS = 3
"""Walks that end at the same depth until the service is believed to show no more."""

_PAST_END = frozenset({400, 404})


@dataclass(frozen=True, slots=True)
class SeriesLimits:
    """Which sessions get series of their own.

    `ended_retention` is in seconds from the moment a session's end was first seen.
    """

    ended_retention: float
    max_sessions: int


@dataclass(frozen=True, slots=True)
class WalkTiming:
    """Seconds between complete walks, and from the last change of an ended session to rest."""

    full_walk_interval: float = 6 * 3600.0
    settle_after: float = 1800.0


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
        timing: WalkTiming,
    ) -> None:
        self.target = target
        self._gateway: GatewayKey = (target.workspace_id, target.livy_compute_id)
        self._client = client
        self._ledger = ledger
        self._telemetry = telemetry
        self._clock = clock
        self._limits = limits
        self._timing = timing
        self._kept = kept_series(self._gateway)
        self._guard = DisappearanceGuard(partial(ledger.listed_count, target))
        self._lock = asyncio.Lock()
        self._history: History | None = None
        """`None` until a walk is complete, the first one or one that became necessary."""
        self._watched: dict[int, Watched] = {}
        self._walked_at = 0.0
        self._is_checked_beside = False
        self._check: Check | None = None
        self._walk: CompleteWalk | None = None
        self._read_at = 0.0
        """When a page arrived last, of the walk or the check that goes on."""
        self._scan: GatewayScan | None = None
        self._surprises = 0
        self._gave_up_at = 0.0
        self._depths: list[int] = []
        self._recently_ended: frozenset[str] = frozenset()
        self._trouble: LedgerError | None = None
        self._logged_at = 0.0
        self._has_warned = False
        self._has_told_of_end = False

    async def poll(self, progress: Progress) -> PollResult:
        """Read what a complete listing needs and count its usage durably.

        Raises `PollError`. What was read before it failed is counted all the same: usage
        that was reported is true whether or not the rest could be read.
        """
        async with self._lock:
            self._trouble = None
            history = self._history
            if history is not None and history.order and self._is_trusted(history):
                result = await self._poll_shortly(history, history.order, progress)
                if result is not None:
                    self._surprises = 0
                    return result
            return await self._walk_completely(progress)

    async def check(self, progress: Progress) -> None:
        """Walk the whole history beside the polls, when that is due. Raises `PollError`."""
        self._is_checked_beside = True
        if self._history is None or self._age() < self._timing.full_walk_interval:
            return
        check, self._check = self._check or Check(self._history, PAGE_SIZE), None
        while (history := self._history) is not None:
            number = check.next_page
            if number is None:
                self._walked_at = self._clock.monotonic()
                return
            try:
                page = await self._look(number, progress, in_bulk=True)
                async with self._lock:
                    await self._check_page(check, history, number, page)
            except PollError:
                self._check = check
                raise
            self._tell(progress, WalkProgress(check.pages, len(history) // PAGE_SIZE + 1))

    # Short polls

    def _is_trusted(self, history: History) -> bool:
        """Tell whether what is known is good for a short poll, and worth it."""
        patience = 2 if self._is_checked_beside else 1
        return (
            len(history) > SMALL_PAGES * PAGE_SIZE
            and _is_worth_it(history)
            and (self._surprises < MAX_SURPRISES or self._may_try_again())
            and self._age() < patience * self._timing.full_walk_interval
        )

    def _may_try_again(self) -> bool:
        since = self._clock.monotonic() - self._gave_up_at
        return since >= self._timing.full_walk_interval

    async def _poll_shortly(
        self, history: History, order: Order, progress: Progress
    ) -> PollResult | None:
        """Poll by what is known; `None` where the history is not as it was expected."""
        poll = ShortPoll(order, history.digests, history.wanted(), size=PAGE_SIZE)
        identities = Identities(history.watched)
        rows: dict[int, Row] = {}
        records: list[LivySession] = []
        try:
            while (number := poll.next_page()) is not None:
                page = await self._look(number, progress)
                found = {row.digest: row for row in identities.of(rows_of(page))}
                rows.update(found)
                records += page.records
                poll.take(number, [*found], page.total_count)
            outcome = poll.outcome()
        except Surprise as surprise:
            self._surprises += 1
            self._gave_up_at = self._clock.monotonic()
            _log.info(HISTORY_SURPRISED, target=str(self.target), what=str(surprise))
            await self._count(records)
            return None
        except PollError:
            await self._count(records)
            raise
        await self._count(records, history.left(outcome))
        new = absorb(history, outcome, rows, self._watch())
        if self._trouble is None:
            self._history = new
        return await self._result(new)

    async def _look(
        self, number: int, progress: Progress, *, in_bulk: bool = False
    ) -> Page[LivySession]:
        """Read a page, which the service may refuse as one past the end: then it is empty."""
        try:
            return await self._fetch(number, progress, in_bulk=in_bulk)
        except ServerError as error:
            if number == 1 or error.status not in _PAST_END:
                raise
            return Page()

    async def _check_page(
        self, check: Check, before: History, number: int, page: Page[LivySession]
    ) -> None:
        """Hold a page against what is known; since `before`, a poll may have been faster."""
        history = self._history
        if history is None:
            return
        identities = Identities(history.watched)
        rows = {row.digest: row for row in identities.of(rows_of(page))}
        listed = [*rows]
        if history is not before:
            gone = left_since(before, history, listed)
            listed = [digest for digest in listed if digest not in gone]
            # The poll has read these again, and later.
            outdated = gone.union(history.watched)
            rows = {digest: row for digest, row in rows.items() if digest not in outdated}
        self._trouble = None
        await self._count([row.record for row in rows.values() if row.record is not None])
        if self._trouble is not None:
            raise self._trouble
        try:
            outcome = check.take(history, number, listed, page.total_count)
        except Surprise as surprise:
            _log.info(HISTORY_SURPRISED, target=str(self.target), what=str(surprise))
            self._history = None
            return
        places = {digest: at for digest, at in outcome.places.items() if digest in rows}
        outcome = replace(outcome, places=places)
        self._history = absorb(history, outcome, rows, self._watch())

    # Complete walks

    async def _walk_completely(self, progress: Progress) -> PollResult:
        """Walk from nothing, or on from where the last walk failed.

        What was read before a failure counts, but it is too old to be published.
        """
        started_at = self._clock.monotonic()
        resumed = self._resumed_walk()
        walk = resumed or self._new_walk()
        is_truncated, is_confirmed = await self._run(walk, progress)
        history = await self._conclude(walk, is_truncated=is_truncated, is_confirmed=is_confirmed)
        is_late = self._clock.monotonic() - started_at > FRESH_SECONDS
        if (resumed or is_late) and self._history is not None and history.order is not None:
            result = await self._poll_shortly(history, history.order, progress)
            if result is not None:
                return result
        if resumed:
            return await self._walk_completely(progress)
        return await self._result(history, is_truncated=is_truncated)

    async def _run(self, walk: CompleteWalk, progress: Progress) -> tuple[bool, bool]:
        """Walk to the end; return whether the listing is truncated, and whether it is confirmed."""
        try:
            await walk.run(
                lambda number, in_bulk: self._fetch(number, progress, in_bulk=in_bulk),
                lambda: self._tell(progress, walk.progress),
            )
            is_confirmed = await self._guard.check(walk.found)
        except IncompleteError:
            await walk.flush()
            self._walk = None
            if not self._is_truncated(walk.deepest):
                raise
            return True, True
        except PollError as error:
            await walk.flush()
            if not isinstance(error, ApiError):
                self._walk = None
            raise
        self._depths.clear()
        self._has_told_of_end = False
        return False, is_confirmed

    def _resumed_walk(self) -> CompleteWalk | None:
        """Give the walk that failed, if it is worth to go on with it."""
        walk, pause = self._walk, self._clock.monotonic() - self._read_at
        may_go_on = walk is not None and walk.is_long and not walk.is_broken
        return walk if may_go_on and pause <= RESUME_SECONDS else None

    def _new_walk(self) -> CompleteWalk:
        if self._history is not None:
            self._watched = dict(self._history.watched)
        # Until a walk is complete nothing else is read: it would not know, where it goes on,
        # what was found and counted since it read its first pages.
        self._history = self._check = None
        self._scan = self._ledger.open_scan(self._gateway)
        self._walk = CompleteWalk(self._watched, self._stage)
        return self._walk

    async def _conclude(
        self, walk: CompleteWalk, *, is_truncated: bool, is_confirmed: bool
    ) -> History:
        """Take up what a walk has found, and conclude in the ledger what only all of it tells."""
        self._walk = None
        history = await asyncio.to_thread(walk.builder.build, walk.watched)
        if self._trouble is None:
            await self._finish(walk, is_truncated=is_truncated, is_confirmed=is_confirmed)
        is_usable = self._trouble is None and not is_truncated
        self._history = history if is_usable else None
        self._walked_at = self._clock.monotonic()
        self._warn(history)
        return history

    def _warn(self, history: History) -> None:
        is_long = len(history) > SMALL_PAGES * PAGE_SIZE
        is_unusable = history.order is None or self._surprises >= MAX_SURPRISES
        if is_long and is_unusable and not self._has_warned:
            self._has_warned = True
            _log.warning(
                NO_USABLE_ORDER,
                target=str(self.target),
                sessions=len(history),
                advice="every poll reads the whole history: raise poll.interval if that is much",
            )

    def _is_truncated(self, depth: int) -> bool:
        """Tell whether the service ends at the same depth again and again."""
        self._depths = [*self._depths, depth][-TRUNCATED_WALKS:]
        is_same = len(self._depths) == TRUNCATED_WALKS and len({*self._depths}) == 1
        is_truncated = is_same and depth > 0  # where it shows nothing at all, it shows no end
        if is_truncated and not self._has_told_of_end:
            self._has_told_of_end = True
            _log.warning(
                HISTORY_TRUNCATED,
                target=str(self.target),
                pages=depth,
                advice="what lies behind is not counted, and every poll reads all that is shown: "
                "ask the service's support, and raise poll.interval if that is much",
            )
        return is_truncated

    # The service, the ledger, the page

    async def _fetch(
        self, number: int, progress: Progress, *, in_bulk: bool = False
    ) -> Page[LivySession]:
        page = await self._client.livy_sessions_page(
            *self._gateway, number, in_bulk=in_bulk, on_wait=progress
        )
        count_oddities(self._telemetry, Source.LIVY_SESSIONS, page)
        progress()
        self._read_at = self._clock.monotonic()
        return presume_ended(page, self._clock.now() - self._timing.settle_after)

    def _tell(self, progress: Progress, walked: WalkProgress) -> None:
        now = self._clock.monotonic()
        if walked.pages == 1:
            self._logged_at = now
        if max(walked.pages, walked.expected or 0) <= SMALL_PAGES:
            return
        progress(walked)
        if now - self._logged_at >= LOG_SECONDS:
            self._logged_at = now
            _log.info(
                WALK_GOES_ON, target=str(self.target), pages=walked.pages, expected=walked.expected
            )

    async def _stage(self, records: Sequence[LivySession]) -> Watch:
        scan = self._scan
        await self._write(lambda: scan.add(records) if scan else None)
        if self._trouble is not None:
            self._walk = None  # what was not counted now would be missing at its end
        return self._watch()

    async def _count(self, records: Sequence[LivySession], left: Sequence[SessionKey] = ()) -> None:
        if records or left:
            scan = self._ledger.open_scan(self._gateway)
            await self._write(lambda: scan.finish(records, left=left, is_complete=False))

    async def _finish(self, walk: CompleteWalk, *, is_truncated: bool, is_confirmed: bool) -> None:
        scan, unreadable = self._scan, frozenset(walk.unreadable)
        if scan is None:
            return
        is_complete = not (is_truncated or walk.is_blurred)
        await self._write(
            lambda: scan.finish(
                unreadable=unreadable, is_complete=is_complete, is_confirmed=is_confirmed
            )
        )

    async def _write(self, write: Callable[[], None]) -> None:
        """Write to the ledger, and learn from it which sessions ended not long ago."""
        since = self._clock.now() - self._limits.ended_retention

        def work() -> frozenset[str]:
            write()
            return self._ledger.ended_since(self._gateway, since)

        try:
            self._recently_ended = await asyncio.to_thread(work)
        except LedgerError as error:
            self._trouble = error

    def _watch(self) -> Watch:
        clock, settle_after = self._clock, self._timing.settle_after
        return Watch(settle_after, clock.now(), clock.monotonic(), self._recently_ended)

    def _age(self) -> float:
        return self._clock.monotonic() - self._walked_at

    async def _result(self, history: History, *, is_truncated: bool = False) -> PollResult:
        gauges = await asyncio.to_thread(self._gauges, history, is_truncated=is_truncated)
        return PollResult(gauges, self._trouble, Records(sessions=self._kept.shown))

    def _gauges(self, history: History, *, is_truncated: bool) -> Samples:
        counts = {} if is_truncated else history.counts()
        found = samples(
            self._gateway,
            [*history.records()],
            self._recently_ended,
            self._limits.max_sessions,
            self._kept,
            counts,
        )
        more = SampleSet()
        more.add(catalog.HISTORY_TRUNCATED, self._gateway, float(is_truncated))
        return GroupedSamples((more.freeze(), *groups_of(found)))


def _is_worth_it(history: History) -> bool:
    """Tell whether a short poll is that: a complete walk never holds all that it reads."""
    pages = {index // PAGE_SIZE for index in history.wanted()}
    return len(pages) * PAGE_SIZE * 2 <= len(history)
