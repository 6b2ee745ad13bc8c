"""What there is to poll: what the settings name, and what discovery found. No I/O.

A failed discovery changes nothing: what was found before is still polled.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain

import structlog

from exporter import catalog
from exporter.model import Gateway, Scope, Source, Target, Workspace
from exporter.snapshot import Samples, SampleSet

_log = structlog.get_logger(__name__)

POLLED_ONCE = "discovered_twice_polled_once"


@dataclass(frozen=True, slots=True)
class Selection:
    """One entry of the settings: a workspace and its gateways, or all that can be found."""

    account: str
    region_id: str
    workspace_id: str = ""
    livy_compute_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which sources are polled, and which of the discovered workspaces."""

    sources: frozenset[Source]
    workspace: Callable[[Workspace], bool] = lambda _: True


@dataclass(frozen=True, slots=True)
class _Place:
    """A workspace to poll, and what the settings say of its gateways."""

    scope: Scope
    workspace: Workspace
    livy_compute_ids: tuple[str, ...]


class Directory:
    """Keeps what is known of workspaces and gateways."""

    def __init__(self, selections: Sequence[Selection], wanted: Wanted) -> None:
        # What is named comes first: where it is also found, it is polled as it was named.
        self._selections = sorted(selections, key=lambda each: not each.workspace_id)
        self._wanted = wanted
        self._workspaces: dict[Scope, tuple[Workspace, ...]] = {}
        self._gateways: dict[Scope, tuple[Gateway, ...]] = {}
        self._seen_workspaces: dict[str, tuple[str, str, str, str]] = {}
        self._seen_gateways: dict[tuple[str, str], tuple[str, ...]] = {}
        self._warned: set[Scope] = set()
        self._note_places()

    def scopes(self) -> list[Scope]:
        """Give what is to be discovered, as far as is known by now."""
        of_workspaces = (
            Scope(each.account, each.region_id)
            for each in self._selections
            if not each.workspace_id
        )
        of_gateways = (
            place.scope
            for place in self._places()
            if Source.LIVY_SESSIONS in self._wanted.sources and not place.livy_compute_ids
        )
        return list(dict.fromkeys(chain(of_workspaces, of_gateways)))

    def targets(self) -> list[Target]:
        """Give what is to be polled, as far as is known by now."""
        return [target for place in self._places() for target in self._targets_of(place)]

    def take_workspaces(self, scope: Scope, workspaces: Iterable[Workspace]) -> None:
        """Take up a complete list of the workspaces of an account and region."""
        self._workspaces[scope] = tuple(filter(self._wanted.workspace, workspaces))
        self._note_places()

    def take_gateways(self, scope: Scope, gateways: Iterable[Gateway]) -> None:
        """Take up a complete list of the gateways of a workspace."""
        self._gateways[scope] = tuple(gateways)
        self._note_places()

    def infos(self) -> Samples:
        """Say which workspaces and gateways are or were polled; never withdrawn.

        The name is the id where it is not known.
        """
        found = SampleSet()
        for _, labels in sorted(self._seen_workspaces.items()):
            found.add(catalog.WORKSPACE_INFO, labels, 1)
        for key, attributes in sorted(self._seen_gateways.items()):
            found.add(catalog.LIVY_GATEWAY_INFO, (*key, *attributes), 1)
        return found.freeze()

    def _note_places(self) -> None:
        """Remember what may be polled from now on, under the names of now."""
        for place in self._places():
            scope, workspace = place.scope, place.workspace
            name = workspace.name or workspace.workspace_id
            labels = (workspace.workspace_id, name, scope.region_id, scope.account)
            self._seen_workspaces[workspace.workspace_id] = labels
            for gateway in self._gateways_of(place):
                key = (workspace.workspace_id, gateway.livy_compute_id)
                name = gateway.name or gateway.livy_compute_id
                self._seen_gateways[key] = (name, gateway.queue, gateway.status)

    def _places(self) -> Iterator[_Place]:
        """Yield each workspace once: where two entries have the same, the first has it."""
        taken: dict[str, tuple[Scope, Selection]] = {}
        for selection in self._selections:
            for workspace in self._workspaces_of(selection):
                scope = Scope(selection.account, selection.region_id, workspace.workspace_id)
                first, owner = taken.setdefault(workspace.workspace_id, (scope, selection))
                if owner is selection:
                    yield _Place(scope, workspace, selection.livy_compute_ids)
                elif not owner.workspace_id:
                    self._warn(scope, first)

    def _workspaces_of(self, selection: Selection) -> Sequence[Workspace]:
        if selection.workspace_id:
            return (Workspace(selection.workspace_id),)
        return self._workspaces.get(Scope(selection.account, selection.region_id), ())

    def _gateways_of(self, place: _Place) -> Sequence[Gateway]:
        if place.livy_compute_ids:
            return [Gateway(livy_compute_id) for livy_compute_id in place.livy_compute_ids]
        return self._gateways.get(place.scope, ())

    def _targets_of(self, place: _Place) -> Iterator[Target]:
        scope = place.scope
        where = (scope.account, scope.region_id, scope.workspace_id)
        if Source.SESSION_CLUSTERS in self._wanted.sources:
            yield Target(Source.SESSION_CLUSTERS, *where)
        if Source.LIVY_SESSIONS in self._wanted.sources:
            for gateway in self._gateways_of(place):
                yield Target(Source.LIVY_SESSIONS, *where, gateway.livy_compute_id)

    def _warn(self, scope: Scope, other: Scope) -> None:
        if scope not in self._warned:
            self._warned.add(scope)
            _log.warning(POLLED_ONCE, found=str(scope), polled=str(other))


def by_patterns(include: Sequence[str], exclude: Sequence[str]) -> Callable[[Workspace], bool]:
    """Choose workspaces by shell patterns on id or name; an empty `include` takes all."""

    def is_any(workspace: Workspace, patterns: Sequence[str]) -> bool:
        texts = (workspace.workspace_id, workspace.name)
        return any(fnmatchcase(text, pattern) for text in texts for pattern in patterns)

    def is_wanted(workspace: Workspace) -> bool:
        is_included = not include or is_any(workspace, include)
        return is_included and not is_any(workspace, exclude)

    return is_wanted
