"""The entries of `targets`."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from exporter.settings.notation import Id, Ids, RegionId

RoleArn = Annotated[str, StringConstraints(pattern=r"^acs:ram::[0-9]+:role/\S+$")]

Account = Annotated[str, StringConstraints(pattern=r"^\P{Cc}*$", max_length=128)]
"""A name without control characters, which no database and no page has to store."""


class TargetSettings(BaseModel):
    """One entry of `targets`: a workspace, or all that one credential sees in a region."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    region_id: RegionId | None = Field(None, description="region to poll; left out = `region-id`")
    workspace_id: Id | None = Field(
        None, description="workspace to poll; left out = all that the credential may list"
    )
    livy_compute_ids: Ids = Field((), description="Livy gateways of the workspace; empty = all")
    role_arn: RoleArn | None = Field(None, description="RAM role to assume for this target")
    account: Account = Field(
        "", description="value of the label `account`; left out = the account of the role"
    )

    @property
    def account_name(self) -> str:
        """The `account` label: as given, or the account id in the role."""
        return self.account or (self.role_arn.split(":")[3] if self.role_arn else "")

    def written(self) -> dict[str, Any]:
        """Return what was given, as JSON could hold it."""
        return self.model_dump(mode="json", exclude_defaults=True)
