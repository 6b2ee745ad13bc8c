"""Exporters that are set up, removed and replaced, and workspaces that go and come back."""

from collections.abc import Iterator
from itertools import product

from tests.rules.cases import (
    BAD,
    ENDED,
    GOOD,
    IN_ERROR,
    LAST,
    LIMIT,
    NOT_PERSISTENT,
    RATIO,
    STALE,
    livy,
    livy_up,
)
from tests.support.promtool import Case
from tests.support.rule_series import GATEWAY, W, alive, at, cluster, ledger, target

_DAY = 24 * 60

Judged = tuple[Case, tuple[str, ...]]


def second_exporters() -> Iterator[Judged]:
    """Yield lives of two exporters in which no ledger is lost."""
    for hours, away in product((1, 5, 20), (15, 90, 3 * _DAY)):
        down = _DAY + hours * 60
        yield _ledgers(
            f"a second exporter is set up, and {hours} h later the first is down for {away} min",
            {
                **ledger(f"1000@{down} _@{away} 1000@{_DAY}"),
                **ledger(f"_@{_DAY} {_DAY * 60}@{3 * _DAY}", "b"),
            },
            {down - 10: [], down + 70: [], down + 300: [], down + away + 60: []},
        )
        yield _ledgers(
            f"a second exporter is tried for {hours} h, and the first restarts {away} min later",
            {
                **ledger(f"1000@{down + away} _@30 1000@{_DAY}"),
                **ledger(f"_@{_DAY} {_DAY * 60}@{hours * 60}", "b"),
            },
            {down + minutes: [] for minutes in (-10, 20, 70, 300, away + 20, away + 60)},
        )
    yield _ledgers(
        "the first exporter is down minutes after a second was set up, and is still scraped",
        {
            **ledger("1000@65"),
            at("up"): "1@65 0@300",
            **ledger("_@60 3600@300", "b"),
        },
        {70: [], 100: [], 200: []},
    )


def lost_ledgers() -> Iterator[Judged]:
    """Yield lives in which a ledger is lost."""
    for away in (5, 180, 2 * _DAY):
        back = 60 + away
        yield _ledgers(
            f"the only exporter is away for {away} min, and back without its ledger",
            {**ledger("1000@60"), **ledger(f"_@{back} {back * 60}@{2 * _DAY}", "b")},
            {55: [], back + 30: [NOT_PERSISTENT], back + _DAY + 40: []},
        )
    yield _ledgers(
        "one of two exporters loses its ledger with each restart",
        {
            **ledger("1000@3000"),
            **ledger("2000@600", "b"),
            **ledger("_@605 36300@300", "c"),
            **ledger("_@910 54600@600", "d"),
        },
        {590: [], 640: [NOT_PERSISTENT], 960: [NOT_PERSISTENT]},
    )


def _ledgers(name: str, series: dict[str, str], fires: dict[float, list[str]]) -> Judged:
    case = Case(name, {**alive("1@9000"), **series}, fires, only=NOT_PERSISTENT, step=300)
    return case, (NOT_PERSISTENT,)


_PLACE = 'region_id="cn-hangzhou",account="a"'


def _discovered(values: str, instance: str, workspace: str = "") -> dict[str, str]:
    labels = f'{_PLACE},workspace_id="{workspace}"'
    return {at("exporter_discovery_up", labels, instance): values}


def _polled(values: str, instance: str, workspace: str = "w") -> dict[str, str]:
    labels = f'workspace_id="{workspace}"'
    return {
        at("workspace_info", f'{labels},workspace_name="n",{_PLACE}', instance): values,
        at(LIMIT, f'source="session_clusters",{labels}', instance): values.replace("1@", "300@"),
        at("exporter_target_up", f'source="session_clusters",{labels}', instance): values,
    }


def _replaced(name: str, new: dict[str, str], fires: dict[float, list[str]]) -> Judged:
    old = {
        **_discovered("1@30 stale", "a"),
        **_polled("1@30 stale", "a"),
        **_polled("1@30 stale", "a", "other"),
        **cluster("error", "1@30 stale"),
    }
    return Case(name, {**alive("1@200"), **old, **new}, {29: [IN_ERROR], **fires}), (IN_ERROR,)


GONE_WORKSPACES = (
    _replaced(
        "a workspace is deleted while the exporter is replaced: discovery ends its alert",
        {**_discovered("_@34 1@90", "b"), **_polled("_@34 1@90", "b", "other")},
        {33: [IN_ERROR], 36: [], 60: []},
    ),
    _replaced(
        "an exporter is replaced, and the workspace is still there but not yet polled",
        {
            **_discovered("_@34 1@90", "b"),
            at("workspace_info", f'{W},workspace_name="n",{_PLACE}', "b"): "_@34 1@90",
        },
        {33: [IN_ERROR], 36: [IN_ERROR], 60: [IN_ERROR]},
    ),
    _replaced(
        "a workspace is deleted while the exporter is replaced, and discovery fails at first",
        {**_discovered("_@34 0@30 1@60", "b")},
        {40: [IN_ERROR], 63: [IN_ERROR], 66: []},
    ),
    _replaced(
        "one of two exporters that share an account is replaced; the other lacks the workspace",
        {
            **_discovered("1@120", "c"),
            **_polled("1@120", "c", "third"),
            **_discovered("_@50 1@70", "b"),
            **_polled("_@50 1@70", "b"),
            **cluster("error", "_@50 1@70", "b"),
        },
        {33: [IN_ERROR], 48: [IN_ERROR], 60: [IN_ERROR]},
    ),
    _replaced(
        "the pods of a rolling update overlap, and the workspace was deleted meanwhile",
        {**_discovered("_@28 1@90", "b"), **_polled("_@28 1@90", "b", "other")},
        {29.5: [IN_ERROR], 34: [], 60: []},
    ),
)


def _gateway_gone(what: str, new: dict[str, str]) -> Judged:
    """Let a gateway whose sessions fail be deleted while its exporter is replaced."""
    case = Case(
        f"{what} is deleted while the exporter is replaced",
        {
            **alive("1@400"),
            **_discovered("1@60 stale", "a", "w"),
            **_discovered("1@60 stale", "a"),
            at("livy_gateway_info", f'{GATEWAY},name="etl"'): "1@60 stale",
            **_polled("1@60 stale", "a"),
            **livy_up("1@60 stale"),
            at(LIMIT, f'source="livy_sessions",{GATEWAY}'): "300@60 stale",
            **ledger("1000@60 stale"),
            **livy(ENDED, "0@20 0+1@20 20@20 stale", BAD),
            **livy(ENDED, "0@20 0+1@20 20@20 stale", GOOD),
            **ledger("_@64 1000@400", "b"),
            **_discovered("_@64 1@400", "b"),
            **livy(ENDED, "_@64 20@400", BAD, "b"),
            **livy(ENDED, "_@64 20@400", GOOD, "b"),
            **new,
        },
        {59: [RATIO], 130: []},
        only=RATIO,
    )
    return case, (RATIO,)


GONE_GATEWAYS = (
    _gateway_gone(
        "a gateway", {**_discovered("_@64 1@400", "b", "w"), **_polled("_@64 1@400", "b")}
    ),
    _gateway_gone("a workspace with its gateways", {}),
)


def returns() -> Iterator[Judged]:
    """Yield a workspace that comes back: it is stale only when it could have been polled."""
    for hours, minutes in ((1, 2), (3, 4), (12, 2)):
        back = 10 + hours * 60
        yield (
            Case(
                f"a workspace is back after {hours} h, and its first poll takes {minutes} min",
                {
                    **alive("1@3000"),
                    **target(
                        LAST,
                        f"0+30@10 stale _@{hours * 60 + minutes} {(back + minutes) * 60}+30@120",
                    ),
                    **target(LIMIT, f"300@10 stale _@{hours * 60} 300@200"),
                },
                {9: [], **{back + minute: [] for minute in (1, 2, 3, 5, 60)}},
                only=STALE,
            ),
            (STALE,),
        )
    yield (
        Case(
            "a workspace is back after hours, and no poll of it succeeds",
            {
                **alive("1@3000"),
                **target(LAST, "0+30@10 stale"),
                **target(LIMIT, "300@10 stale _@180 300@200"),
            },
            {9: [], 192: [], 194: [], 215: [STALE], 300: [STALE]},
            only=STALE,
        ),
        (STALE,),
    )


REPLACEMENT_CASES = (
    *second_exporters(),
    *lost_ledgers(),
    *GONE_WORKSPACES,
    *GONE_GATEWAYS,
    *returns(),
)
