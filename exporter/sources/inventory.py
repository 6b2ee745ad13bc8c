"""What there is to poll: what the settings name, and what discovery has found. No I/O.

A failed discovery changes nothing: what was found before is still polled.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
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
class _PolledWorkspace:
    """A workspace to poll, and the gateways that the settings name in it."""

    scope: Scope
    workspace: Workspace
    livy_compute_ids: tuple[str, ...]


class Inventory:
    """The workspaces and gateways that are known by now."""

    def __init__(
        self,
        selections: Iterable[Selection],
        sources: Collection[Source],
        is_wanted: Callable[[Workspace], bool],
    ) -> None:
        """Poll `sources`, and of the discovered workspaces those that `is_wanted` says."""
        # A workspace that is both named and discovered is polled as it is named.
        self._selections = sorted(selections, key=lambda selection: not selection.workspace_id)
        self._sources = sources
        self._is_wanted = is_wanted
        self._workspaces: dict[Scope, tuple[Workspace, ...]] = {}
        self._gateways: dict[Scope, tuple[Gateway, ...]] = {}
        self._polled: dict[Scope, _PolledWorkspace] = {}
        self._warned: set[Scope] = set()
        self._gateway_infos: dict[str, dict[str, tuple[str, ...]]] = {}
        self._infos: dict[str, Samples] = {}
        self.scopes: tuple[Scope, ...] = ()
        """What is to be discovered, as far as is known by now."""
        self.by_workspace: Mapping[Scope, tuple[Target, ...]] = {}
        """What is to be polled in each workspace; another object whenever something changed."""
        self._choose()

    def forget(self) -> None:
        """Know only what the settings name, as at the start."""
        self._workspaces, self._gateways = {}, {}
        self._gateway_infos, self._infos, self.by_workspace = {}, {}, {}
        self._choose()

    def targets(self) -> list[Target]:
        """Return what is to be polled, as far as is known by now."""
        return [*chain.from_iterable(self.by_workspace.values())]

    def take_workspaces(self, scope: Scope, workspaces: Iterable[Workspace]) -> None:
        """Take a complete list of the workspaces of an account and region."""
        wanted = tuple(filter(self._is_wanted, workspaces))
        if wanted != self._workspaces.get(scope):
            self._workspaces[scope] = wanted
            self._choose()

    def take_gateways(self, scope: Scope, gateways: Iterable[Gateway]) -> None:
        """Take a complete list of the gateways of a workspace."""
        found = tuple(gateways)
        if found == self._gateways.get(scope):
            return
        self._gateways[scope] = found
        if polled := self._polled.get(scope):
            self._update_infos(polled)
            targets = {**self.by_workspace}
            targets[scope] = self._targets(polled)
            self.by_workspace = targets

    def infos(self) -> Iterable[Samples]:
        """Return the info samples of each workspace that is or was polled, with its gateways.

        The name is the id where it is not known.
        """
        return self._infos.values()

    def _choose(self) -> None:
        """Choose again which workspaces are polled."""
        self._polled = {polled.scope: polled for polled in self._polled_workspaces()}
        for polled in self._polled.values():
            self._update_infos(polled)
        self._infos = dict(sorted(self._infos.items()))
        self.by_workspace = {scope: self._targets(polled) for scope, polled in self._polled.items()}
        of_workspaces = (
            Scope(selection.account, selection.region_id)
            for selection in self._selections
            if not selection.workspace_id
        )
        of_gateways = (
            polled.scope
            for polled in self._polled.values()
            if Source.LIVY_SESSIONS in self._sources and not polled.livy_compute_ids
        )
        self.scopes = tuple(dict.fromkeys(chain(of_workspaces, of_gateways)))

    def _update_infos(self, polled: _PolledWorkspace) -> None:
        scope, workspace = polled.scope, polled.workspace
        workspace_id = workspace.workspace_id
        gateways = self._gateway_infos.setdefault(workspace_id, {})
        for gateway in self._gateways_of(polled):
            name = gateway.name or gateway.livy_compute_id
            gateways[gateway.livy_compute_id] = (name, gateway.queue, gateway.status)
        samples = SampleSet()
        name = workspace.name or workspace_id
        samples.add(catalog.WORKSPACE_INFO, (workspace_id, name, scope.region_id, scope.account), 1)
        for livy_compute_id, attributes in sorted(gateways.items()):
            labels = (workspace_id, livy_compute_id, *attributes)
            samples.add(catalog.LIVY_GATEWAY_INFO, labels, 1)
        self._infos[workspace_id] = samples.freeze()

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

    def _targets(self, polled: _PolledWorkspace) -> tuple[Target, ...]:
        """Return the targets of a workspace; the same object where they are as they were."""
        found: list[Target] = []
        if Source.SESSION_CLUSTERS in self._sources:
            found.append(Target(Source.SESSION_CLUSTERS, *polled.scope))
        if Source.LIVY_SESSIONS in self._sources:
            found += (
                Target(Source.LIVY_SESSIONS, *polled.scope, gateway.livy_compute_id)
                for gateway in self._gateways_of(polled)
            )
        before = self.by_workspace.get(polled.scope)
        return before if before == tuple(found) else tuple(found)

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
