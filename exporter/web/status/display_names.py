"""The names that people gave to workspaces and gateways, and the anchors of what is on the page."""

from dataclasses import dataclass

from exporter import catalog
from exporter.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Names:
    """Names by id, as discovery found them; the id itself where there is none."""

    workspaces: dict[str, str]
    gateways: dict[tuple[str, str], str]

    @classmethod
    def of(cls, snapshot: Snapshot) -> "Names":
        """Read them off the info samples of a snapshot."""
        workspaces = snapshot.infos.get(catalog.WORKSPACE_INFO, ())
        gateways = snapshot.infos.get(catalog.LIVY_GATEWAY_INFO, ())
        return cls(
            {sample.labels[0]: sample.labels[1] for sample in workspaces},
            {(sample.labels[0], sample.labels[1]): sample.labels[2] for sample in gateways},
        )

    def workspace(self, workspace_id: str) -> str:
        """Return the name of a workspace."""
        return self.workspaces.get(workspace_id, workspace_id)

    def gateway(self, workspace_id: str, livy_compute_id: str) -> str:
        """Return the name of a gateway."""
        return self.gateways.get((workspace_id, livy_compute_id), livy_compute_id)


class Anchors:
    """Gives each thing on the page an anchor of its own; the first of an id has the plain one."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, kind: str, identity: str, place: str) -> str:
        """Return `kind-identity`, or with `place` behind it where another has that already."""
        anchor = f"{kind}-{identity}"
        if anchor in self._taken:
            anchor = f"{anchor}@{place}"
        while anchor in self._taken:  # ids may be reused
            anchor += "'"
        self._taken.add(anchor)
        return anchor
