"""The gauges of a gateway's sessions."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from exporter import catalog
from exporter.errors import LedgerError
from exporter.ledger import GatewayKey
from exporter.model import LIVY_SESSION_STATES, LivySession, seconds
from exporter.snapshot import GroupedSamples, Records, Samples, SampleSet
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
    """Turns a history into what is published; series that do not change are built once.

    Live sessions and those that ended recently have series of their own, but no more than
    `max_sessions` of them.
    """

    def __init__(self, gateway: GatewayKey, max_sessions: int) -> None:
        self._gateway = gateway
        self._max_sessions = max_sessions
        self._cache = SampleCache(partial(_of_session, gateway))

    async def publish(
        self,
        history: History,
        recently_ended: Collection[str],
        error: LedgerError | None,
        *,
        is_truncated: bool = False,
    ) -> PollResult:
        """Return the gauges of a history; where it `is_truncated`, without its counts by state."""
        gauges = await asyncio.to_thread(
            self._build, history, recently_ended, is_truncated=is_truncated
        )
        return PollResult(gauges, error, Records(sessions=self._cache.shown))

    def _build(
        self, history: History, recently_ended: Collection[str], *, is_truncated: bool
    ) -> Samples:
        truncated = SampleSet()
        truncated.add(catalog.HISTORY_TRUNCATED, self._gateway, float(is_truncated))
        counts = {} if is_truncated else history.counts()
        found = self.samples([*history.records()], recently_ended, counts)
        return GroupedSamples((truncated.freeze(), *found.groups))

    def samples(
        self,
        sessions: Sequence[LivySession],
        recently_ended: Collection[str],
        counts: Mapping[tuple[str, str], int],
    ) -> GroupedSamples:
        """Return the gauges of `sessions`; `counts`, by queue and state, are of the whole listing.

        Of the ended sessions, those whose id is among `recently_ended` may have series.
        """
        totals = SampleSet()
        for queue in sorted({queue for queue, _ in counts}):
            for state in LIVY_SESSION_STATES:
                labels = (*self._gateway, queue, state)
                totals.add(catalog.LIVY_SESSIONS, labels, counts.get((queue, state), 0))
        chosen = sorted(_newest_of_each_id(sessions, recently_ended), key=_precedence)
        shown = {session.session_id: session for session in chosen[: self._max_sessions]}
        totals.add(catalog.SESSIONS_WITHOUT_SERIES, self._gateway, len(chosen) - len(shown))
        return GroupedSamples((totals.freeze(), *self._cache.samples_of(shown)))


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
