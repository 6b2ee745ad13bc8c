"""No gap, no calendar border and no replaced exporter hides or fakes what alerts are about."""

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import pytest

from tests.rules.calendar_cases import BORDERS, FIGURES, OUTAGES, PERIODS, STEP, Fleet
from tests.rules.gap_cases import GAP_CASES
from tests.rules.replacement_cases import REPLACEMENT_CASES
from tests.support.promtool import Case, chosen_groups, gated, run_case, run_test

pytestmark = [pytest.mark.real, pytest.mark.timeout(150)]


CASES = (*GAP_CASES, *REPLACEMENT_CASES)


@pytest.mark.parametrize(("case", "alerts"), CASES, ids=[case.name for case, _ in CASES])
def test_alerts_over_gaps_and_replacements(
    case: Case, alerts: Sequence[str], tmp_path: Path, real_tool: Callable[[str], Path]
) -> None:
    """What promtool's own test runner says of a case."""
    assert run_case(real_tool("promtool"), tmp_path, case, alerts) == ""


RUNS = (
    *product(("day", "week"), OUTAGES),
    # A month of evaluations takes seconds.
    *(("month", outage) for outage in ("none", "over the weekend", "for weeks")),
)


@pytest.mark.parametrize(("border", "outage"), RUNS)
def test_recorded_periods_are_exact_over_outages_restarts_and_second_exporters(
    border: str, outage: str, tmp_path: Path, real_tool: Callable[[str], Path]
) -> None:
    """All lives around a border, with an outage of Prometheus too, as promtool evaluates them."""
    names = [f"{figure}:{period}" for _, figure in FIGURES.values() for period in PERIODS]
    chosen = gated(chosen_groups([], names))
    fleet = Fleet(BORDERS[border], OUTAGES[outage])
    complaint = run_test(real_tool("promtool"), tmp_path, STEP * 3600, chosen, fleet.as_test())
    assert complaint == ""
