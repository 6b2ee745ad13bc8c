"""What is true in the world, and what of it was ever said: the two that a test compares."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from exporter.demo.records import GatewayKey, SessionKey, SimulatedSession, SimulatedUsage
from exporter.demo.world import World

_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Truth:
    """The world at one moment, added up; rows that are hidden or made to lie count as held."""

    by_workspace: Mapping[str, SimulatedUsage]
    by_gateway: Mapping[GatewayKey, SimulatedUsage]
    by_queue: Mapping[tuple[str, str, str], SimulatedUsage]
    """Key: workspace, gateway, queue."""
    by_proxy_user: Mapping[tuple[str, str, str | None], SimulatedUsage]
    """Key: workspace, gateway, proxy user (None = none named)."""
    clusters: Mapping[tuple[str, str, str, str], int]
    """Key: workspace, kind, queue, state as served."""
    sessions: Mapping[tuple[str, str, str, str], int]
    """Key: workspace, gateway, queue, state as served."""


def survey(world: World) -> Truth:
    """Add up a world."""
    sessions = world.sessions()
    usage = [(session, session.usage) for session in sessions]
    return Truth(
        by_workspace=_sums(usage, lambda s: s.workspace_id),
        by_gateway=_sums(usage, lambda s: GatewayKey(s.workspace_id, s.compute_id)),
        by_queue=_sums(usage, _queue),
        by_proxy_user=_sums(usage, _proxy_user),
        clusters=Counter(
            (row.workspace_id, row.kind, row.queue, row.state) for row in world.clusters()
        ),
        sessions=Counter((*_queue(session), session.state) for session in sessions),
    )


class Delivered:
    """Every figure of a Livy session that ever went out in a whole, good page.

    A page counts from the moment its body is handed to the server for sending: a client that has
    read it finds it here. Rows that were made to lie about identity or usage are left out.
    """

    def __init__(self) -> None:
        """Start with nothing said."""
        self.highest: dict[SessionKey, SimulatedUsage] = {}
        """Per figure the highest value."""
        self.latest: dict[SessionKey, SimulatedUsage] = {}
        self.sessions: dict[SessionKey, SimulatedSession] = {}
        """The row as last delivered."""

    def record(self, sessions: Iterable[SimulatedSession]) -> None:
        """Note a page."""
        for session in sessions:
            key = session.key
            if session.shows_figures and self.sessions.get(key) is not session:
                before = self.highest.get(key, session.usage)
                self.highest[key] = before.highest(session.usage)
                self.latest[key] = session.usage
                self.sessions[key] = session

    def by_gateway(self) -> Mapping[GatewayKey, SimulatedUsage]:
        """Add up the highest figures by gateway."""
        return _sums(self._rows(), lambda s: GatewayKey(s.workspace_id, s.compute_id))

    def by_queue(self) -> Mapping[tuple[str, str, str], SimulatedUsage]:
        """Add up the highest figures by workspace, gateway and queue."""
        return _sums(self._rows(), _queue)

    def by_proxy_user(self) -> Mapping[tuple[str, str, str | None], SimulatedUsage]:
        """Add up the highest figures by workspace, gateway and proxy user."""
        return _sums(self._rows(), _proxy_user)

    def _rows(self) -> Iterable[tuple[SimulatedSession, SimulatedUsage]]:
        return ((self.sessions[key], usage) for key, usage in self.highest.items())


def _queue(session: SimulatedSession) -> tuple[str, str, str]:
    return (session.workspace_id, session.compute_id, session.queue)


def _proxy_user(session: SimulatedSession) -> tuple[str, str, str | None]:
    return (session.workspace_id, session.compute_id, session.proxy_user)


def _sums(
    rows: Iterable[tuple[SimulatedSession, SimulatedUsage]], key: Callable[[SimulatedSession], _Key]
) -> Mapping[_Key, SimulatedUsage]:
    sums: defaultdict[_Key, SimulatedUsage] = defaultdict(SimulatedUsage)
    for session, usage in rows:
        sums[key(session)] += usage
    return dict(sums)
