"""What to poll, where the settings name it one by one."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from exporter.settings.notation import Id, Ids, RegionId

RoleArn = Annotated[str, StringConstraints(pattern=r"^acs:ram::[0-9]+:role/\S+$")]


class TargetSettings(BaseModel):
    """One entry of `targets`: a workspace, or all that one credential sees in a region."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    region_id: RegionId | None = Field(None, description="`region-id` where it is left out")
    workspace_id: Id | None = Field(None, description="all that the credential may list, if none")
    livy_compute_ids: Ids = Field((), description="gateways of the workspace; empty = discover")
    role_arn: RoleArn | None = Field(None, description="the RAM role to assume for it")
    account: Annotated[str, StringConstraints(max_length=128)] = Field(
        "", description="the `account` label; the role's account where it is left out"
    )

    @property
    def account_name(self) -> str:
        """Give the `account` label: as named, or the account id in the role."""
        return self.account or (self.role_arn.split(":")[3] if self.role_arn else "")

    def written(self) -> dict[str, Any]:
        """Give what was named, as JSON could hold it."""
        return self.model_dump(mode="json", exclude_defaults=True)
