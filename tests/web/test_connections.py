"""Which connections there are: by time and address, without a network."""

import resource

import pytest

from exporter.web.http.connections import (
    MAX_CONNECTIONS,
    SECONDS,
    Connection,
    ConnectionPhase,
    Connections,
    max_connections,
    peer_of,
)
from tests.support.harness import ManualClock


class Door:
    """Connections that are named, and the names of those that were dropped."""

    def __init__(self, most: int) -> None:
        self.clock = ManualClock()
        self.connections = Connections(most, now=self.clock.monotonic)
        self.dropped: list[str] = []

    def enter(self, name: str, peer: str = "a") -> Connection:
        """Let one in, a second after the one before."""
        self.clock.advance(1)
        return self.connections.enter(peer, lambda: self.dropped.append(name))


def test_connection_without_progress_for_longest_is_dropped() -> None:
    """Whatever its age and phase."""
    door = Door(3)
    old, answered, _ = door.enter("old"), door.enter("answered"), door.enter("silent")
    door.clock.advance(1)
    door.connections.begin(answered, ConnectionPhase.ANSWER)
    door.connections.progress(old)
    door.enter("new")
    assert door.dropped == ["answered"]
    door.enter("newer")
    assert door.dropped == ["answered", "silent"]
    assert len(door.connections) == 3


def test_address_with_the_most_connections_loses_one() -> None:
    """A flood drops its own connections, not those of other addresses."""
    door = Door(4)
    door.enter("prometheus", "b")
    for number in range(20):
        door.enter(f"flood {number}")
    assert door.dropped == [f"flood {number}" for number in range(17)]
    door.enter("another", "c")
    assert door.dropped[-1] == "flood 17"


def test_closed_connection_frees_its_place() -> None:
    """Nothing else is dropped for it."""
    door = Door(1)
    first = door.enter("first")
    door.connections.leave(first)
    door.connections.leave(first)
    door.enter("second")
    assert door.dropped == []


@pytest.mark.parametrize("phase", list(ConnectionPhase))
def test_every_phase_has_a_timeout(phase: ConnectionPhase) -> None:
    """An occasional byte does not extend it."""
    door = Door(9)
    slow = door.enter("slow")
    door.connections.begin(slow, phase)
    door.clock.advance(SECONDS[phase])
    door.connections.progress(slow)
    door.connections.sweep()
    assert door.dropped == []
    door.clock.advance(0.1)
    door.connections.sweep()
    assert door.dropped == ["slow"]


@pytest.mark.parametrize(
    ("host", "peer"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:0db8:0001:0002"),
        ("2001:db8:1:2::5", "2001:0db8:0001:0002"),
        ("fe80::1%eth0", "fe80:0000:0000:0000"),
        ("::1", "0000:0000:0000:0000"),
        ("testclient", "testclient"),
    ],
)
def test_ipv6_peers_are_grouped_by_network(host: str, peer: str) -> None:
    """A client may have more IPv6 addresses than there can be connections."""
    assert peer_of(host) == peer


@pytest.mark.parametrize(
    ("files", "most"), [(20_000, MAX_CONNECTIONS), (100, 50), (1, 1), (resource.RLIM_INFINITY, 128)]
)
def test_connections_may_use_half_of_the_file_descriptors(
    monkeypatch: pytest.MonkeyPatch, files: int, most: int
) -> None:
    """The rest is left for the ledger and the API client."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert max_connections() == most
