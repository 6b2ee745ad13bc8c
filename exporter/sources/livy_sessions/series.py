"""The gauges of a gateway's sessions."""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from exporter import catalog
from exporter.errors import LedgerError
from exporter.ledger import GatewayKey
from exporter.model import LIVY_SESSION_STATES, LivySession, seconds
from exporter.snapshot import GroupedSamples, Records, Samples, SampleSet, groups_of
from exporter.sources.listing import PollResult
from exporter.sources.livy_sessions.history import History
from exporter.sources.sample_cache import SampleCache


@dataclass(frozen=True, slots=True)
class SeriesLimits:
    """Which sessions get series of their own.

    `ended_retention` is in seconds from the moment a session's end was first seen.
    """

    ended_retention: float
    max_sessions: int


class Gauges:
    """Turns a history into what is published; series that do not change are built once."""

    def __init__(self, gateway: GatewayKey, max_sessions: int) -> None:
        self._gateway = gateway
        self._max_sessions = max_sessions
        self._cache = sample_cache(gateway)

    async def publish(
        self,
        history: History,
        recently_ended: Collection[str],
        error: LedgerError | None,
        *,
        is_truncated: bool = False,
    ) -> PollResult:
        """Return the gauges of a history; where it `is_truncated`, without its counts by state."""
        build = partial(self._build, history, recently_ended, is_truncated=is_truncated)
        gauges = await asyncio.to_thread(build)
        return PollResult(gauges, error, Records(sessions=self._cache.shown))

    def _build(
        self, history: History, recently_ended: Collection[str], *, is_truncated: bool
    ) -> Samples:
        more = SampleSet()
        more.add(catalog.HISTORY_TRUNCATED, self._gateway, float(is_truncated))
        counts = {} if is_truncated else history.counts()
        records = [*history.records()]
        found = samples(
            self._gateway, records, recently_ended, self._max_sessions, self._cache, counts
        )
        return GroupedSamples((more.freeze(), *groups_of(found)))


def sample_cache(gateway: GatewayKey) -> SampleCache[LivySession]:
    """Return a cache of the series of a gateway's sessions."""
    return SampleCache(partial(_of_session, gateway))


def samples(
    gateway: GatewayKey,
    sessions: Sequence[LivySession],
    recently_ended: Collection[str],
    max_sessions: int,
    cache: SampleCache[LivySession] | None = None,
    counts: Mapping[tuple[str, str], int] | None = None,
) -> Samples:
    """Return the gauges of a complete listing; what did not change is taken from the `cache`.

    Live sessions and those whose id is among `recently_ended` have series of their own, but
    no more than `max_sessions` of them. `counts` are by queue and state, where `sessions` are
    not all there are.
    """
    found = SampleSet()
    counts = (
        Counter((session.queue, session.state) for session in sessions)
        if counts is None
        else counts
    )
    for queue in sorted({queue for queue, _ in counts}):
        for state in LIVY_SESSION_STATES:
            found.add(
                catalog.LIVY_SESSIONS, (*gateway, queue, state), counts.get((queue, state), 0)
            )
    chosen = _newest_of_each_id(sessions, recently_ended)
    chosen.sort(key=_precedence)
    shown = {session.session_id: session for session in chosen[:max_sessions]}
    found.add(catalog.SESSIONS_WITHOUT_SERIES, gateway, len(chosen) - len(shown))
    series = cache or sample_cache(gateway)
    return GroupedSamples((found.freeze(), *series.samples_of(shown)))


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
    found.add(catalog.LIVY_SESSION_CREATED, labels, seconds(session.created_ms))
    if session.has_ended:
        found.add(catalog.LIVY_SESSION_END, labels, seconds(session.ended_ms))
    usage = session.usage
    found.add(catalog.LIVY_SESSION_CU_HOURS, labels, usage.cu_hours)
    found.add(catalog.LIVY_SESSION_VCORE_SECONDS, labels, usage.vcore_seconds)
    found.add(catalog.LIVY_SESSION_MB_SECONDS, labels, usage.mb_seconds)
    return found.freeze()
