"""Replicas on one ledger count each CU-hour once, on one page, whatever happens."""

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, run_state_machine_as_test

from tests.replicas.model import COUNTS, GATEWAYS, REPLICAS, Replicas
from tests.support.budgets import share_of_examples

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

LONG = (pytest.mark.soak, pytest.mark.timeout(7200))

MET = ("overtaken", "paused", "crashed", "killed", "resigned", "commits lost", "pages", "polls")


@pytest.mark.parametrize("share", [0.15, pytest.param(0.05, marks=LONG)])
def test_replicas_count_once_and_show_once(share: float) -> None:
    """Paused, cut off and killed anywhere, with a database that forgets commits."""
    COUNTS.clear()
    run_state_machine_as_test(
        Replicas, settings=settings(share_of_examples(share), stateful_step_count=40)
    )
    assert min(COUNTS[each] for each in MET) > 0, COUNTS


class WithoutFence(Replicas):
    """Whoever thinks to be the owner writes."""

    @staticmethod
    def rewrite(statement: str) -> str:
        """Let the fence find its row, whatever the revision is."""
        return statement.replace("shard = '' AND revision = %s", "shard = '' AND %s IS NOT NULL")


class WithoutTrust(Replicas):
    """An owner trusts its lease for ever, since its clock stands still while it is stopped."""

    @initialize(number=st.integers(0, REPLICAS - 1))
    def begin(self, number: int) -> None:
        """Stop the clock of one replica."""
        self.start_replicas(tuple(float(number != each) for each in range(REPLICAS)), 0.0)


class WithoutTimeline(Replicas):
    """No server is told from the one before."""

    is_fail_over_told = False


def stop_anywhere(model: Replicas) -> None:
    """Let the owner be overtaken at each instant of a poll."""
    model.begin((1.0, 1.0, 1.0), 0.0)
    try:
        model.read_pages()
        for instants in range(1, 30):
            model.overtake(GATEWAYS[0], instants, 3)
            model.read_pages()
    finally:
        model.teardown()


def test_owner_that_is_overtaken_at_any_instant_writes_no_more() -> None:
    """Nor does it show anything. Without the fence it would write."""
    stop_anywhere(Replicas())
    with pytest.raises(AssertionError):
        stop_anywhere(WithoutFence())


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("machine", [WithoutTrust, WithoutTimeline])
def test_machine_finds_what_each_protection_prevents(machine: type[Replicas]) -> None:
    """The test is good for something: without one of them, it fails."""
    budget = settings(
        share_of_examples(0.05), stateful_step_count=40, phases=[Phase.generate], database=None
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=settings(budget, report_multiple_bugs=False))
