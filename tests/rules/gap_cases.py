"""What happens while nothing is scraped, or Prometheus is away, and must be seen afterwards."""

from collections.abc import Iterator
from itertools import product

from tests.rules.cases import (
    BAD,
    ENDED,
    FAILED,
    GOOD,
    LEDGER,
    MALFORMED,
    RATIO,
    THROTTLED,
    UNKNOWN,
    WHERE,
    livy_up,
)
from tests.support.promtool import PREFIX, Case
from tests.support.rule_series import CU, GATEWAY, QUEUE, alive, at, ledger

GAPS = ((20, 30), (26 * 60, 300))
"""Minutes that a gap lasts, and seconds between two samples."""

_BEFORE = 40
_AFTER = 120

_LIVY = 'source="livy_sessions"'

COUNTED: dict[str, tuple[tuple[str, int, int], ...]] = {
    FAILED: ((f"{ENDED}{{{QUEUE},{BAD}}}", 7, 9),),
    RATIO: ((f"{ENDED}{{{QUEUE},{BAD}}}", 7, 10), (f"{ENDED}{{{QUEUE},{GOOD}}}", 50, 52)),
    MALFORMED: (
        (f"exporter_malformed_records_total{{{_LIVY}}}", 3, 4),
        (f"exporter_malformed_record_ids{{{_LIVY}}}", 1, 2),
    ),
    UNKNOWN: ((f"exporter_unknown_states_total{{{_LIVY}}}", 3, 4),),
    LEDGER: (('exporter_ledger_failures_total{reason="full"}', 3, 4),),
    THROTTLED: (
        (f'exporter_api_requests_total{{{WHERE},action="A"}}', 500, 600),
        (f'exporter_api_request_failures_total{{{WHERE},action="A",reason="throttled"}}', 2, 42),
    ),
}
"""By alert: what its series are before a gap and after it."""

OF_THE_PROCESS = (MALFORMED, UNKNOWN, LEDGER, THROTTLED)
"""Alerts on counters that begin at 0 with each process."""


def gap_cases() -> Iterator[tuple[Case, tuple[str, ...]]]:
    """Yield a case for each alert on a counter, each gap, and each reason of it."""
    for alert, (minutes, step), is_outage in product(COUNTED, GAPS, (False, True)):
        yield _case(alert, minutes, step, is_outage=is_outage, is_restart=False), (alert,)
        if alert in OF_THE_PROCESS:
            yield _case(alert, minutes, step, is_outage=is_outage, is_restart=True), (alert,)


def _case(alert: str, minutes: int, step: int, *, is_outage: bool, is_restart: bool) -> Case:
    span = f"{_BEFORE} _@{minutes} {{}}@{_AFTER}"
    counters = {}
    for series, before, after in COUNTED[alert]:
        metric, _, labels = series.removesuffix("}").partition("{")
        now = after - before if is_restart else after
        first = before if not is_restart else max(before, 5 * now)
        counters[at(metric, labels)] = f"{first}@{_BEFORE} _@{minutes} {now}@{_AFTER}"
    back = _BEFORE + minutes
    return Case(
        f"{alert}: {'Prometheus is away' if is_outage else 'nothing is scraped'} for {minutes} min"
        f"{', and the exporter restarts' if is_restart else ''}",
        {
            **alive(f"1@{span.format(1)}"),
            **ledger(f"1000@{span.format(1000)}"),
            **livy_up(f"1@{span.format(1)}"),
            **counters,
        },
        {_BEFORE - 5: [], back + 12: [alert], back + 110: []},
        only=alert,
        step=step,
        prometheus=f"1@{span.format(1)}" if is_outage else "",
    )


USER_CU = "livy_proxy_user_cu_hours_total"

INCREASES = Case(
    "what was burned in a gap of three hours, of scrapes or of Prometheus, is in every window",
    {
        **ledger("1000@60 _@180 1000@1500"),
        at(CU, QUEUE): "100@60 _@180 190@1500",
        at(USER_CU, f'{GATEWAY},proxy_user="ann"'): "7@60 _@180 50@1500",
        at(ENDED, f"{QUEUE},{BAD}"): "3@60 _@180 5@1500",
        at(ENDED, f"{QUEUE},{GOOD}"): "30@60 _@180 36@1500",
    },
    values={
        (minute, name): value
        for name, until, amount in (
            (f"queue:{PREFIX}livy_cu_hours:increase15m", 15, 90),
            (f"queue:{PREFIX}livy_cu_hours:increase1h", 60, 90),
            (f"queue:{PREFIX}livy_cu_hours:increase1d", 1440, 90),
            (f"user:{PREFIX}livy_proxy_user_cu_hours:increase1h", 60, 43),
            (f"user:{PREFIX}livy_proxy_user_cu_hours:increase1d", 1440, 43),
            (f"queue_state:{PREFIX}livy_sessions_ended:increase1h", 60, 8),
            (f"queue:{PREFIX}livy_sessions_ended:failure_ratio1h", 60, 0.25),
        )
        for minute, value in (
            (240, amount),
            (240 + until - 5, amount),
            (240 + until + 5, None if "ratio" in name else 0),
        )
    },
    step=300,
)

GAP_CASES = (
    *gap_cases(),
    (INCREASES, ()),
    (
        Case(
            INCREASES.name + " (Prometheus)",
            INCREASES.series,
            values=INCREASES.values,
            step=INCREASES.step,
            prometheus="1@60 _@180 1@1500",
        ),
        (),
    ),
)
