"""What there is to poll: what the settings name, and what discovery has found. No I/O.

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

DUPLICATE_IGNORED = "duplicate_workspace_ignored"


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
class _PolledWorkspace:
    """A workspace to poll, and the gateways that the settings name in it."""

    scope: Scope
    workspace: Workspace
    livy_compute_ids: tuple[str, ...]


class Inventory:
    """The workspaces and gateways that are known by now."""

    def __init__(self, selections: Sequence[Selection], wanted: Wanted) -> None:
        # A workspace that is both named and discovered is polled as it is named.
        self._selections = sorted(selections, key=lambda selection: not selection.workspace_id)
        self._wanted = wanted
        self._workspaces: dict[Scope, tuple[Workspace, ...]] = {}
        self._gateways: dict[Scope, tuple[Gateway, ...]] = {}
        self._workspace_infos: dict[str, tuple[str, str, str, str]] = {}
        self._gateway_infos: dict[tuple[str, str], tuple[str, ...]] = {}
        self._warned: set[Scope] = set()
        self._update_infos()

    def scopes(self) -> list[Scope]:
        """Return what is to be discovered, as far as is known by now."""
        of_workspaces = (
            Scope(selection.account, selection.region_id)
            for selection in self._selections
            if not selection.workspace_id
        )
        of_gateways = (
            polled.scope
            for polled in self._polled_workspaces()
            if Source.LIVY_SESSIONS in self._wanted.sources and not polled.livy_compute_ids
        )
        return list(dict.fromkeys(chain(of_workspaces, of_gateways)))

    def targets(self) -> list[Target]:
        """Return what is to be polled, as far as is known by now."""
        return [target for polled in self._polled_workspaces() for target in self._targets(polled)]

    def take_workspaces(self, scope: Scope, workspaces: Iterable[Workspace]) -> None:
        """Take a complete list of the workspaces of an account and region."""
        self._workspaces[scope] = tuple(filter(self._wanted.workspace, workspaces))
        self._update_infos()

    def take_gateways(self, scope: Scope, gateways: Iterable[Gateway]) -> None:
        """Take a complete list of the gateways of a workspace."""
        self._gateways[scope] = tuple(gateways)
        self._update_infos()

    def infos(self) -> Samples:
        """Return the info samples of all workspaces and gateways that are or were polled.

        The name is the id where it is not known.
        """
        samples = SampleSet()
        for _, labels in sorted(self._workspace_infos.items()):
            samples.add(catalog.WORKSPACE_INFO, labels, 1)
        for key, attributes in sorted(self._gateway_infos.items()):
            samples.add(catalog.LIVY_GATEWAY_INFO, (*key, *attributes), 1)
        return samples.freeze()

    def _update_infos(self) -> None:
        for polled in self._polled_workspaces():
            scope, workspace = polled.scope, polled.workspace
            name = workspace.name or workspace.workspace_id
            labels = (workspace.workspace_id, name, scope.region_id, scope.account)
            self._workspace_infos[workspace.workspace_id] = labels
            for gateway in self._gateways_of(polled):
                key = (workspace.workspace_id, gateway.livy_compute_id)
                name = gateway.name or gateway.livy_compute_id
                self._gateway_infos[key] = (name, gateway.queue, gateway.status)

    def _polled_workspaces(self) -> Iterator[_PolledWorkspace]:
        """Yield each workspace once, under the first selection that has it."""
        owners: dict[str, tuple[Scope, Selection]] = {}
        for selection in self._selections:
            for workspace in self._workspaces_of(selection):
                scope = Scope(selection.account, selection.region_id, workspace.workspace_id)
                first, owner = owners.setdefault(workspace.workspace_id, (scope, selection))
                if owner is selection:
                    yield _PolledWorkspace(scope, workspace, selection.livy_compute_ids)
                elif not owner.workspace_id:
                    self._warn(scope, first)

    def _workspaces_of(self, selection: Selection) -> Sequence[Workspace]:
        if selection.workspace_id:
            return (Workspace(selection.workspace_id),)
        return self._workspaces.get(Scope(selection.account, selection.region_id), ())

    def _gateways_of(self, polled: _PolledWorkspace) -> Sequence[Gateway]:
        if polled.livy_compute_ids:
            return [Gateway(livy_compute_id) for livy_compute_id in polled.livy_compute_ids]
        return self._gateways.get(polled.scope, ())

    def _targets(self, polled: _PolledWorkspace) -> Iterator[Target]:
        scope = polled.scope
        where = (scope.account, scope.region_id, scope.workspace_id)
        if Source.SESSION_CLUSTERS in self._wanted.sources:
            yield Target(Source.SESSION_CLUSTERS, *where)
        if Source.LIVY_SESSIONS in self._wanted.sources:
            for gateway in self._gateways_of(polled):
                yield Target(Source.LIVY_SESSIONS, *where, gateway.livy_compute_id)

    def _warn(self, ignored: Scope, polled: Scope) -> None:
        if ignored not in self._warned:
            self._warned.add(ignored)
            _log.warning(DUPLICATE_IGNORED, ignored=str(ignored), polled=str(polled))


def by_patterns(include: Sequence[str], exclude: Sequence[str]) -> Callable[[Workspace], bool]:
    """Return a filter by shell patterns on id or name; an empty `include` takes all."""

    def is_any(workspace: Workspace, patterns: Sequence[str]) -> bool:
        texts = (workspace.workspace_id, workspace.name)
        return any(fnmatchcase(text, pattern) for text in texts for pattern in patterns)

    def is_wanted(workspace: Workspace) -> bool:
        is_included = not include or is_any(workspace, include)
        return is_included and not is_any(workspace, exclude)

    return is_wanted
