"""When a lease may be acquired, and until when its owner trusts it."""

import pytest

from exporter.ledger.postgres.lease import Sight, Tenure, Watch

D = 30.0
SIGHT = Sight(4, "a", 9, "T1", "T1")


def watched(*looks: tuple[float, Sight]) -> Watch:
    """Return what was seen in looks that were sent at these times, and answered a second later."""
    at, sight = looks[0]
    watch = Watch(sight, at + 1, at + 1)
    for at, sight in looks[1:]:
        watch = watch.after(sight, at, at + 1, D / 3)
    return watch


def test_lease_that_stands_still_for_its_duration_may_be_acquired() -> None:
    """The duration counts from the answer to the first look to the sending of the last."""
    times = [0.0, 8.0, 16.0, 24.0, 30.9]
    assert not watched(*((at, SIGHT) for at in times)).may_acquire(D)
    assert watched(*((at, SIGHT) for at in times), (31.0, SIGHT)).may_acquire(D)


@pytest.mark.parametrize(
    "other",
    [
        SIGHT._replace(beat=10),
        SIGHT._replace(epoch=5),
        SIGHT._replace(holder="b"),
        SIGHT._replace(now="T2"),
        SIGHT._replace(timeline="T0"),
    ],
)
def test_any_change_of_the_lease_begins_the_watch_anew(other: Sight) -> None:
    """Also where the database has forgotten something, and an earlier state comes back."""
    looks = [(at, SIGHT) for at in (0.0, 8.0, 16.0)]
    later = [(at, SIGHT) for at in (24.0, 32.0, 40.0, 48.0)]
    assert not watched(*looks, (20.0, other), *later).may_acquire(D)
    assert watched(*looks, (20.0, other), *later, (56.0, SIGHT)).may_acquire(D)


def test_looks_too_far_apart_begin_the_watch_anew() -> None:
    """What happened in between is not known: the beat of an earlier server may have come back."""
    assert not watched((0.0, SIGHT), (9.1, SIGHT), (40.0, SIGHT)).may_acquire(D)
    looks = [(at, SIGHT) for at in (0.0, 9.0, 18.0, 27.0, 36.0)]
    assert watched(*looks).may_acquire(D)
    assert not watched(*looks[:2], (18.1, SIGHT), *looks[3:]).may_acquire(D)


def test_free_lease_may_be_acquired_at_once_on_the_server_it_was_resigned_on() -> None:
    """Another server may lack an acquisition that came after."""
    free = SIGHT._replace(holder=None)
    assert watched((0.0, free)).may_acquire(D)
    assert not watched((0.0, free._replace(now="T2"))).may_acquire(D)


def test_owner_trusts_a_renewal_for_two_thirds_of_the_duration() -> None:
    """From when it was sent."""
    tenure = Tenure("a", 4, "T1", trusted_until=20.0).renewed("T1", 10.0, D)
    assert tenure.is_trusted(29.9)
    assert not tenure.is_trusted(30.0)


def test_owner_that_was_late_acquires_anew_on_another_server_after_the_duration() -> None:
    """Its successor, which that server has forgotten, may trust its own lease till then."""
    tenure = Tenure("a", 4, "T1", trusted_until=20.0).renewed("T2", 20.0, D)
    for sent in (25.0, 35.0, 45.0):
        tenure = tenure.renewed("T2", sent, D)
        assert not tenure.is_trusted(sent)
    assert not tenure.is_doubt_over(49.9)
    assert tenure.is_doubt_over(50.0)


@pytest.mark.parametrize(("timeline", "sent"), [("T2", 19.9), ("T1", 20.0), ("T1", 500.0)])
def test_owner_that_was_in_time_or_on_the_same_server_goes_on(timeline: str, sent: float) -> None:
    """Nobody else can have acquired the lease: it would not be renewed."""
    tenure = Tenure("a", 4, "T1", trusted_until=20.0).renewed(timeline, sent, D)
    assert tenure.is_trusted(sent)
    assert not tenure.is_doubt_over(sent + 1000)
