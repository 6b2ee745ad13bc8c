"""Hand-overs that went wrong, or could: each one as a story of the machine's rules."""

from collections.abc import Iterator

import pytest

from exporter.model import Standing
from tests.replicas.model import GATEWAYS, HOLD, USED, Replicas, server
from tests.replicas.stoppable import DURATION, Fate, Plan, Replica
from tests.support import postgres
from tests.support.server_folders import wait_until

pytestmark = pytest.mark.real

G, H = GATEWAYS


@pytest.fixture
def model() -> Iterator[Replicas]:
    """Return three replicas, of which the first is the owner and shows 7 of gateway G."""
    made = Replicas()
    made.begin((1.0, 1.0, 1.0), HOLD)
    made.read_pages()
    try:
        yield made
    finally:
        made.teardown()


def show_all(model: Replicas) -> None:
    """Let the owner publish what is held."""
    model.read_pages()
    model.scrape(None)
    for _ in range(6):
        model.pass_time(HOLD / 6)
        model.tend(model.replicas.index(model.pick(None)), None)
    model.tick(None, None)
    model.read_pages()


def total(replica: Replica, queue: str = "q") -> float | None:
    """Return the vcore-seconds of a queue of G that are on a page."""
    return replica.page().get((USED.name, *G, queue))


def is_owner(replica: Replica) -> bool:
    """Whether a replica owns the ledger, as far as it knows."""
    ownership = replica.ledger.ownership()
    return ownership is not None and ownership.standing is Standing.OWNER


def take_over(model: Replicas) -> Replica:
    """Let another replica own the ledger while the first is away; return it."""
    model.expire(frozenset({0}))
    owner = model.pick(None)
    assert owner is not model.replicas[0]
    return owner


def poll_more(model: Replicas) -> None:
    """Use 5 more, and let the owner count and show it."""
    model.use(0, 5)
    model.poll(None, G, None)
    show_all(model)


def test_page_of_an_earlier_term_is_not_shown_in_a_later_one(model: Replicas) -> None:
    """An owner that was away finds its lease free again, with another one's commits in between."""
    first = model.replicas[0]
    other = take_over(model)
    show_all(model)
    poll_more(model)
    assert total(other) == 12
    model.run(other, other.ledger.close, None)
    other.die()
    model.tend(0, None)
    assert is_owner(first)
    assert total(first) is None
    model.tick(0, None)
    model.read_pages()
    assert total(first) == 12


def test_owner_of_before_begins_anew_after_a_fail_over(model: Replicas) -> None:
    """Its successor and what that counted are forgotten by the database, but were shown."""
    first = model.replicas[0]
    commits = len(server().states)
    other = take_over(model)
    show_all(model)
    poll_more(model)
    assert total(other) == 12
    model.fail_over(len(server().states) - commits)
    for _ in range(8):
        for number in (1, 2, 0):
            model.tend(number, None)
        model.tick(0, None)
        model.read_pages()
        model.pass_time(DURATION / 6)
    assert is_owner(first)
    assert total(first) is None
    model.poll(0, G, None)
    model.read_pages()
    assert total(first) == 12


def test_second_owner_after_a_fail_over_shows_no_gateway_that_none_has_read(
    model: Replicas,
) -> None:
    """The first one has read one gateway of two before it died."""
    model.create(H, "q", 5)
    model.create_gateway()
    model.poll(None, H, None)
    show_all(model)
    model.sessions[1].used = 10
    model.poll(None, H, None)
    show_all(model)
    model.fail_over(3)
    model.expire(frozenset({0}))
    second = model.pick(None)
    model.use(0, 1)
    model.poll(None, G, None)
    model.read_pages()
    assert total(second) == 8
    second.kill()
    model.expire(frozenset({0}))
    third = model.pick(None)
    assert third is not second
    model.read_pages()
    assert total(third) is None
    model.poll(None, G, None)
    model.poll(None, H, None)
    model.read_pages()
    assert total(third) == 8
    third.kill()
    model.replicas[0].kill()
    model.run(second, second.start, None)
    model.expire(frozenset())
    assert total(second) == 8


def test_listing_is_read_as_a_whole_after_a_fail_over(model: Replicas) -> None:
    """A session that has ended may be behind what was counted of it: nothing else would tell."""
    model.replicas[0].ledger.record_order(G, "newest first", {})
    model.read_pages()
    assert model.replicas[0].ledger.listing_order(G) == "newest first"
    model.poll(None, G, None)
    model.fail_over(0)
    owner = take_over(model)
    assert owner.ledger.listing_order(G) == ""
    model.poll(None, G, None)
    assert owner.ledger.listing_order(G) == "newest first"


@pytest.mark.parametrize("is_gateway_lost", [False, True])
def test_series_that_a_fail_over_has_lost_begins_at_what_was_shown(
    model: Replicas,
    is_gateway_lost: bool,  # noqa: FBT001
) -> None:
    """It is not held at 0 like one that nobody has seen."""
    gateway = H if is_gateway_lost else G
    commits = len(server().states)
    model.create(gateway, "p", 3)
    model.create_gateway()
    model.discover(None, None)
    model.poll(None, gateway, None)
    show_all(model)
    model.fail_over(len(server().states) - commits)
    take_over(model)
    model.discover(None, None)
    model.read_pages()
    model.poll(None, gateway, None)
    model.read_pages()
    assert not [value for series, value in model.shown.items() if series[-1] == "p" and not value]


def test_gateway_that_a_fail_over_has_lost_begins_at_what_was_shown_also_if_an_answer_is_lost(
    model: Replicas,
) -> None:
    """The commit that enters it again is done, and nobody is told."""
    commits = len(server().states)
    model.create(H, "p", 3)
    model.create_gateway()
    model.discover(None, None)
    model.poll(None, H, None)
    show_all(model)
    model.fail_over(len(server().states) - commits)
    owner = take_over(model)
    for instants in range(1, 40):
        model.discover(None, Plan(instants, Fate.CUT))
        model.run(owner, owner.ledger.release, None)
        model.read_pages()
        if H in owner.ledger.state.counters.groups:
            break
    model.poll(None, H, None)
    show_all(model)
    assert owner.page()[(USED.name, *H, "p")] == 3


def test_late_failure_of_an_earlier_term_leaves_the_present_one(model: Replicas) -> None:
    """A transaction that stood still, while the lease was lost and acquired again, is undone."""
    first = model.replicas[0]
    model.use(0, 5)
    for instants in range(1, 40):
        model.poll(0, G, Plan(instants, Fate.PAUSE))
        assert first.step is not None
        assert first.step.stopped_on is not None
        if "WITH fenced" in first.step.stopped_on.statement:
            break
        model.resume(0, None)
        model.use(0, 1)
    other = take_over(model)
    poll_more(model)
    model.run(other, other.ledger.close, None)
    other.die()
    model.tend(0, None)
    assert is_owner(first)
    model.resume(0, None)
    assert is_owner(first)
    model.poll(0, G, None)
    model.read_pages()


def test_owner_that_stops_while_it_writes_holds_up_nobody(model: Replicas) -> None:
    """Its transaction is open, and no time-out of the server ends it."""
    model.use(0, 5)
    for instants in range(1, 60):
        model.poll(0, G, Plan(instants, Fate.PAUSE))
        if model.replicas[0].step is None:
            break
        other = take_over(model)
        assert is_owner(other)
        model.poll(None, G, None)
        model.read_pages()
        model.resume(0, None)
        model.read_pages()
        for number in (1, 2):
            model.restart(number, is_killed=False, plan=None)
        model.expire(frozenset({1, 2}))
        model.use(0, 1)
    assert instants > 20


def test_lease_whose_row_was_deleted_is_acquired_again(model: Replicas) -> None:
    """As by an administrator who wanted to free it."""
    model.use(0, 5)
    postgres.shared().execute(f"DELETE FROM {server().schema}.lease")
    model.expire(frozenset())
    assert [is_owner(replica) for replica in model.replicas].count(True) == 1
    model.poll(None, G, None)
    show_all(model)


class Impatient(Replicas):
    """Replicas on a server that soon ends a transaction whose client is silent."""

    @staticmethod
    def rewrite(statement: str) -> str:
        """Shorten the server's patience."""
        bound = "'idle_in_transaction_session_timeout', "
        return statement.replace(f"{bound}'6000'", f"{bound}'300'")


@pytest.mark.parametrize("statement", ["epoch = epoch + 1", "SET revision"])
def test_replica_that_stops_while_it_takes_over_holds_up_nobody(statement: str) -> None:
    """Its machine is gone: the server ends its transaction, and another replica takes over."""
    model = Impatient()
    model.begin((1.0, 1.0, 1.0), HOLD)
    try:
        owner, second, third = model.replicas
        model.run(owner, owner.ledger.close, None)
        owner.die()
        model.pass_time(1.0)
        step = Plan(1, Fate.PAUSE)
        model.tend(1, step)
        while statement not in stopped_at(second):
            model.resume(0, step)
        wait_until(lambda: not server().has_idle(), "the transaction was ended")
        model.tend(2, None)
        assert is_owner(third)
        model.resume(0, None)
        assert not is_owner(second)
        model.read_pages()
    finally:
        model.teardown()


def stopped_at(replica: Replica) -> str:
    """Return the statement before which a replica is stopped."""
    assert replica.step is not None
    assert replica.step.stopped_on is not None
    return replica.step.stopped_on.statement
