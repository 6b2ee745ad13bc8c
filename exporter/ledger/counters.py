"""The counters: their exact values, and what the page may show of them so far."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain
from typing import NamedTuple

from exporter import catalog
from exporter.catalog import Metric
from exporter.errors import LedgerError, LedgerFailure
from exporter.ledger.counting import Key
from exporter.ledger.database import Database, Reader, Table
from exporter.ledger.release_gate import ReleaseGate
from exporter.model import Source

OTHER_PROXY_USER = "_other"
"""The label of the users beyond `usage.max-proxy-users`."""

_BY_PROXY_USER = frozenset(
    (
        catalog.LIVY_PROXY_USER_CU_HOURS,
        catalog.LIVY_PROXY_USER_VCORE_SECONDS,
        catalog.LIVY_PROXY_USER_MB_SECONDS,
    )
)
_METRICS = {metric.name: metric for metric in catalog.CATALOG}
TABLE = Table("counter", ("metric", "labels"), ("value", "shown"))
_SELECT = "SELECT metric, labels, CAST(value AS text), CAST(shown AS text) FROM main.counter"
_DELETE = "DELETE FROM main.counter WHERE metric = ? AND labels = ?"


class CounterValue(NamedTuple):
    """One counter, in nano-CU-hours where its unit is CU-hours.

    `published` lags behind `actual` while the series is held.
    """

    actual: int
    published: int


class CounterGroups(Mapping[Key, CounterValue]):
    """The counters of all gateways and workspaces, in `groups` that are replaced one by one.

    Groups are in the order of their labels. One that did not change is the very same object.
    """

    def __init__(self, groups: Mapping[tuple[str, ...], Mapping[Key, CounterValue]]) -> None:
        self.groups = groups

    @classmethod
    def of(cls, values: Mapping[Key, CounterValue]) -> "CounterGroups":
        """Return `values` in groups."""
        return cls({}).replaced(values)

    def __getitem__(self, key: Key) -> CounterValue:
        """Return one counter."""
        return self.groups[key.group][key]

    def __iter__(self) -> Iterator[Key]:
        """Iterate over the keys of all groups."""
        return chain.from_iterable(self.groups.values())

    def __len__(self) -> int:
        """Return the number of counters."""
        return sum(map(len, self.groups.values()))

    def replaced(self, changed: Mapping[Key, CounterValue]) -> "CounterGroups":
        """Return the counters with those that changed: the cost follows their groups' number."""
        if not changed:
            return self
        touched: dict[tuple[str, ...], dict[Key, CounterValue]] = {}
        for key, value in changed.items():
            group = key.group
            if group not in touched:
                touched[group] = {**self.groups.get(group, {})}
            touched[group][key] = value
        groups = {**self.groups, **touched}
        is_same_order = len(groups) == len(self.groups)
        return CounterGroups(groups if is_same_order else dict(sorted(groups.items())))


def switched_off(sources: Collection[Source], max_proxy_users: int) -> frozenset[Metric]:
    """Return the metrics that nothing adds to while only `sources` are polled.

    They are left out: a counter that stands still although its sessions run would be wrong.
    """
    of_clusters = {catalog.SESSION_CLUSTER_STATE_ENTRIES}
    hidden = set(_BY_PROXY_USER) if max_proxy_users == 0 else set()
    if Source.SESSION_CLUSTERS not in sources:
        hidden |= of_clusters
    if Source.LIVY_SESSIONS not in sources:
        hidden |= {*catalog.CATALOG} - of_clusters
    return frozenset(hidden)


def read_counters(db: Reader, hidden: Collection[Metric] = frozenset()) -> CounterGroups:
    """Read every counter but those of `hidden` metrics.

    These stay in the database, as do those of a metric that this version does not have. Raises
    `LedgerError` if a row is not one that `write_counters` writes.
    """
    rows = db.query(_SELECT)
    try:
        return CounterGroups.of(
            {
                _key(_METRICS[name], labels): _value(_METRICS[name], int(actual), int(published))
                for name, labels, actual, published in rows
                if name in _METRICS and _METRICS[name] not in hidden
            }
        )
    except (ValueError, TypeError, RecursionError) as error:
        raise LedgerError(
            "the ledger is damaged: a counter has values that no exporter writes",
            advice="restore a backup, or set another ledger.path or ledger.schema to start with"
            " new counters",
            kind=LedgerFailure.CORRUPT,
        ) from error


def _key(metric: Metric, stored: str) -> Key:
    key = Key(metric, tuple(json.loads(stored)))
    if len(key.labels) != len(metric.labels) or _stored(key)[1] != stored:
        raise ValueError(f"labels of {metric.name}")
    for label in key.labels:
        label.encode()
    return key


def _value(metric: Metric, actual: int, published: int) -> CounterValue:
    # What is overcounted may be negative: it stays with the queue that was known at the time.
    if metric.kind == "counter" and not 0 <= published <= actual:
        raise ValueError(f"values of {metric.name}")
    return CounterValue(actual, published)


def write_counters(db: Database, values: Mapping[Key, CounterValue]) -> None:
    """Write counters, inside the caller's transaction."""
    if values:
        rows = [(*_stored(key), *map(str, value)) for key, value in values.items()]
        db.upsert(TABLE, rows)


def delete_counters(db: Database, keys: Iterable[Key]) -> None:
    """Delete counters, inside the caller's transaction."""
    db.execute_many(_DELETE, [_stored(key) for key in keys])


def _stored(key: Key) -> tuple[str, str]:
    return key.metric.name, json.dumps(key.labels, ensure_ascii=False)


class CounterBatch:
    """What one transaction does to the counters."""

    def __init__(
        self,
        before: CounterGroups,
        gate: ReleaseGate,
        *,
        due: Collection[Key],
        confirmed: tuple[str, ...] | None = None,
        max_proxy_users: int,
    ) -> None:
        """Begin without any change.

        Series that are `due` may be published as they are, and so may those of the `confirmed`
        group, which are held from then on.
        """
        self._before = before
        self._gate = gate
        self._due = due
        self._confirmed = confirmed
        self._max_proxy_users = max_proxy_users
        self._users: dict[tuple[str, ...], set[str]] = {}
        self._deltas: dict[Key, int] = {}
        self._starts: dict[Key, int] = {}

    def add(self, *increments: Iterable[tuple[Key, int]]) -> None:
        """Let counters advance; a new one starts at 0."""
        for key, delta in chain(*increments):
            self._collect(self._deltas, key, delta)

    def start(self, *values: Iterable[tuple[Key, int]]) -> None:
        """Give new counters their starting values, which are published at once."""
        for key, value in chain(*values):
            self._collect(self._starts, key, value)

    def new_keys(self) -> list[Key]:
        """Return the series that this transaction creates."""
        return [key for key in (*self._starts, *self._deltas) if key not in self._before]

    def changed(self) -> dict[Key, CounterValue]:
        """Return the counters that change, with their new values."""
        changed = {key: CounterValue(start, start) for key, start in self._starts.items()}
        for key, delta in self._deltas.items():
            before = changed.get(key) or self._before.get(key)
            if before is None or delta:
                changed[key] = self._advanced(key, before or CounterValue(0, 0), delta)
        confirmed = self._before.groups[self._confirmed] if self._confirmed else ()
        released = {*self._due, *map(_overcounted_of, self._due), *confirmed}
        for key in released | {key for key in changed if key.group == self._confirmed}:
            value = changed.get(key) or self._before.get(key)
            if value is not None and value.published != value.actual:
                changed[key] = value._replace(published=value.actual)
        return changed

    def _advanced(self, key: Key, before: CounterValue, delta: int) -> CounterValue:
        actual = before.actual + delta
        return CounterValue(actual, before.published if self._is_held(key) else actual)

    def _is_held(self, key: Key) -> bool:
        """Whether a change must not be published yet.

        What is overcounted is held with its total, so that the difference of the two is never
        lower than what was published of it.
        """
        if key.metric is catalog.LIVY_OVERCOUNTED:
            key = Key(catalog.LIVY_CU_HOURS, key.labels)
        if key.metric.kind != "counter" or not self._gate.is_active:
            return False
        return key not in self._before or self._gate.is_held(key)

    def _collect(self, into: dict[Key, int], key: Key, delta: int) -> None:
        if key.metric in _BY_PROXY_USER:
            if not self._max_proxy_users:
                return
            key = self._within_limit(key)
        into[key] = into.get(key, 0) + delta

    def _within_limit(self, key: Key) -> Key:
        """Return `key`, or that of the other users where a gateway has too many by now."""
        *gateway, user = key.labels
        if key.group not in self._users:
            known = self._before.groups.get(key.group, {})
            admitted = {key.labels[-1] for key in known if key.metric in _BY_PROXY_USER}
            self._users[key.group] = admitted - {OTHER_PROXY_USER}
        users = self._users[key.group]
        if user not in users and len(users) >= self._max_proxy_users:
            return Key(key.metric, (*gateway, OTHER_PROXY_USER))
        users.add(user)
        return key


def _overcounted_of(key: Key) -> Key:
    return Key(catalog.LIVY_OVERCOUNTED, key.labels) if key.metric is catalog.LIVY_CU_HOURS else key
