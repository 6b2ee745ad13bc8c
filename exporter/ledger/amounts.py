"""The totals: exact values, and what the page may say of them so far."""

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain
from typing import NamedTuple

from exporter import catalog
from exporter.catalog import Metric
from exporter.ledger.counting import Key
from exporter.ledger.holding import Holding
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


class Amount(NamedTuple):
    """One counter: its exact value (nano where in CU-hours), and what the page may say."""

    value: int
    shown: int


class GroupedAmounts(Mapping[Key, Amount]):
    """The counters of all gateways and workspaces, in `groups` that are replaced one by one.

    Groups are in the order of their labels. One that did not change is the very same object.
    """

    def __init__(self, groups: Mapping[tuple[str, ...], Mapping[Key, Amount]]) -> None:
        self.groups = groups

    @classmethod
    def of(cls, amounts: Mapping[Key, Amount]) -> "GroupedAmounts":
        """Return `amounts` in groups."""
        return cls({}).replaced(amounts)

    def __getitem__(self, key: Key) -> Amount:
        """Return one counter."""
        return self.groups[key.group][key]

    def __iter__(self) -> Iterator[Key]:
        """Iterate over the keys of all groups."""
        return chain.from_iterable(self.groups.values())

    def __len__(self) -> int:
        """Return the number of counters."""
        return sum(map(len, self.groups.values()))

    def replaced(self, changed: Mapping[Key, Amount]) -> "GroupedAmounts":
        """Return the counters with those that changed: the cost follows their groups' number."""
        if not changed:
            return self
        touched: dict[tuple[str, ...], dict[Key, Amount]] = {}
        for key, amount in changed.items():
            group = key.group
            if group not in touched:
                touched[group] = {**self.groups.get(group, {})}
            touched[group][key] = amount
        groups = {**self.groups, **touched}
        is_same_order = len(groups) == len(self.groups)
        return GroupedAmounts(groups if is_same_order else dict(sorted(groups.items())))


def switched_off(sources: Collection[Source], max_proxy_users: int) -> frozenset[Metric]:
    """Return the metrics that nothing adds to while only `sources` are polled.

    They are left out: a counter that stands still although its sessions run would be wrong.
    """
    of_clusters = {catalog.SESSION_CLUSTER_STATE_ENTRIES}
    found = set(_BY_PROXY_USER) if max_proxy_users == 0 else set()
    if Source.SESSION_CLUSTERS not in sources:
        found |= of_clusters
    if Source.LIVY_SESSIONS not in sources:
        found |= {*catalog.CATALOG} - of_clusters
    return frozenset(found)


def read_amounts(
    db: sqlite3.Connection, hidden: Collection[Metric] = frozenset()
) -> GroupedAmounts:
    """Read every counter but those of `hidden` metrics.

    These stay in the file, as do those of a metric that this version does not have. Raises
    `ValueError` or `TypeError` where a row is not one that `write_amounts` writes.
    """
    rows = db.execute("SELECT metric, labels, value, shown FROM counter")
    return GroupedAmounts.of(
        {
            _key(_METRICS[name], labels): _amount(_METRICS[name], int(value), int(shown))
            for name, labels, value, shown in rows
            if name in _METRICS and _METRICS[name] not in hidden
        }
    )


def _key(metric: Metric, stored: str) -> Key:
    key = Key(metric, tuple(json.loads(stored)))
    if len(key.labels) != len(metric.labels) or _stored(key)[1] != stored:
        raise ValueError(f"labels of {metric.name}")
    for label in key.labels:
        label.encode()
    return key


def _amount(metric: Metric, value: int, shown: int) -> Amount:
    if min(value, shown) < 0 or (metric.kind == "counter" and shown > value):
        raise ValueError(f"values of {metric.name}")
    return Amount(value, shown)


def write_amounts(db: sqlite3.Connection, amounts: Mapping[Key, Amount]) -> None:
    """Write `amounts`, inside the caller's transaction."""
    db.executemany(
        "INSERT OR REPLACE INTO counter (metric, labels, value, shown) VALUES (?, ?, ?, ?)",
        [(*_stored(key), *map(str, amount)) for key, amount in amounts.items()],
    )


def delete_amounts(db: sqlite3.Connection, keys: Iterable[Key]) -> None:
    """Delete counters, inside the caller's transaction."""
    db.executemany(
        "DELETE FROM counter WHERE metric = ? AND labels = ?", [_stored(key) for key in keys]
    )


def _stored(key: Key) -> tuple[str, str]:
    return key.metric.name, json.dumps(key.labels, ensure_ascii=False)


class Changes:
    """What one transaction does to the counters, and to the number of remembered sessions."""

    def __init__(
        self,
        before: GroupedAmounts,
        holding: Holding,
        *,
        due: Collection[Key],
        max_proxy_users: int,
    ) -> None:
        self._before = before
        self._holding = holding
        self._due = due
        self._max_proxy_users = max_proxy_users
        self._users = _Users(before)
        self._deltas: dict[Key, int] = {}
        self._starts: dict[Key, int] = {}
        self.sessions = 0
        """How many more are remembered."""

    def add(self, *changes: Iterable[tuple[Key, int]]) -> None:
        """Let counters advance; one that is new comes into being at 0."""
        for key, delta in chain(*changes):
            self._collect(self._deltas, key, delta)

    def start(self, *changes: Iterable[tuple[Key, int]]) -> None:
        """Give counters their starting values: what they show is what they are."""
        for key, delta in chain(*changes):
            self._collect(self._starts, key, delta)

    def born(self) -> list[Key]:
        """Give the series that this transaction brings into being."""
        return [key for key in (*self._starts, *self._deltas) if key not in self._before]

    def amounts(self) -> dict[Key, Amount]:
        """Give the counters that change, as they become."""
        changed: dict[Key, Amount] = {}
        for key, start in self._starts.items():
            changed[key] = Amount(start, start)
        for key, delta in self._deltas.items():
            before = changed.get(key) or self._before.get(key)
            if before is None or delta:
                changed[key] = self._advanced(key, before or Amount(0, 0), delta)
        for key in (*self._due, *map(_overcounted_of, self._due)):
            amount = changed.get(key) or self._before.get(key)
            if amount is not None and amount.shown != amount.value:
                changed[key] = amount._replace(shown=amount.value)
        return changed

    def _advanced(self, key: Key, before: Amount, delta: int) -> Amount:
        value = before.value + delta
        return Amount(value, before.shown if self._is_held(key) else value)

    def _is_held(self, key: Key) -> bool:
        """Whether a change must not show yet.

        What is overcounted is held with its total, so that the difference of the two is never
        lower than what was shown of it.
        """
        if key.metric is catalog.LIVY_OVERCOUNTED:
            key = Key(catalog.LIVY_CU_HOURS, key.labels)
        if key.metric.kind != "counter" or not self._holding.is_active:
            return False
        return key not in self._before or self._holding.is_held(key)

    def _collect(self, into: dict[Key, int], key: Key, delta: int) -> None:
        if key.metric in _BY_PROXY_USER:
            if not self._max_proxy_users:
                return
            key = self._users.admit(key, self._max_proxy_users)
        into[key] = into.get(key, 0) + delta


def _overcounted_of(key: Key) -> Key:
    return Key(catalog.LIVY_OVERCOUNTED, key.labels) if key.metric is catalog.LIVY_CU_HOURS else key


class _Users:
    """The proxy users that have series of their own, per gateway, in order of first sight."""

    def __init__(self, before: GroupedAmounts) -> None:
        self._before = before
        self._admitted: dict[tuple[str, ...], set[str]] = {}

    def admit(self, key: Key, limit: int) -> Key:
        """Give `key`, or that of the other users where its user is one too many."""
        *gateway, user = key.labels
        if key.group not in self._admitted:
            known = self._before.groups.get(key.group, {})
            self._admitted[key.group] = {
                each.labels[-1] for each in known if each.metric in _BY_PROXY_USER
            } - {OTHER_PROXY_USER}
        admitted = self._admitted[key.group]
        if user in admitted or len(admitted) < limit:
            admitted.add(user)
            return key
        return Key(key.metric, (*gateway, OTHER_PROXY_USER))
