"""The RAM policies: exactly the calls that are made, in each way of running."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from exporter.api.decode import Envelope
from exporter.api.error_mapping import RAM_PRODUCT, Answer, classify
from exporter.cli.program import PROGRAM
from exporter.demo import World
from tests.support.charts import Helm, find
from tests.support.command_line import load
from tests.support.harness import Harness
from tests.support.repository import ROOT
from tests.support.worlds import busy_world

FOLDER = ROOT / "deploy" / "ram"


def policy(name: str) -> dict[str, Any]:
    """Read a policy; it has one statement."""
    document = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    (statement,) = document["Statement"]
    assert (document["Version"], statement["Effect"]) == ("1", "Allow")
    return dict(statement)


def allowed(name: str) -> set[str]:
    """Return the actions that a policy allows."""
    return set(policy(name)["Action"])


async def called(world: World, **settings: Any) -> set[str]:  # noqa: ANN401  as Harness takes them
    """Return the RAM actions of the calls that the exporter made to read a world once."""
    async with Harness(world, **settings) as h:
        await h.discover()
        await h.poll()
        counted = (await h.page()).values("exporter_api_requests_total", "action", "region_id")
    return {f"{RAM_PRODUCT}:{action}" for (action, _), requests in counted.items() if requests > 0}


@pytest.mark.anyio
async def test_named_targets_need_no_more_than_the_short_policy() -> None:
    """What is called equals what is allowed."""
    assert await called(busy_world()) == allowed("named.json")


@pytest.mark.anyio
async def test_discovery_needs_no_more_than_the_long_policy() -> None:
    """The same, where nothing but the region is named."""
    world = busy_world()
    (region, *_) = {row.region_id for row in world.workspaces()}
    assert await called(world, targets=[], region_id=region) == allowed("discovery.json")


def test_a_refused_call_names_an_action_of_the_policy() -> None:
    """What the exporter advises to grant is what the policies grant."""
    actions = {each.removeprefix(f"{RAM_PRODUCT}:") for each in allowed("discovery.json")}
    advice = [
        classify(Answer(each, 403, {}, Envelope("Forbidden.RAM")), now=0).advice for each in actions
    ]
    named = {name for each in advice for name in re.findall(rf"{RAM_PRODUCT}:\w+", each)}
    assert named == allowed("discovery.json")


def test_the_assumed_role_is_one_that_targets_can_name() -> None:
    """The example of a role is in the notation of the setting."""
    statement = policy("assume-role.json")
    assert statement["Action"] == "sts:AssumeRole"
    target = {"region_id": "cn-hangzhou", "role_arn": statement["Resource"]}
    (read,) = load("serve", [f"--targets={json.dumps([target])}"], {}).settings.targets
    assert read.role_arn == statement["Resource"]


@pytest.mark.real
def test_the_role_trusts_the_account_of_the_chart(helm: Helm) -> None:
    """Installed as the README says, the ServiceAccount is the one that the role trusts."""
    condition = policy("rrsa-trust.json")["Condition"]["StringEquals"]
    (subject,), (audience,) = condition["oidc:sub"], condition["oidc:aud"]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    installed = re.search(
        r"^helm install (\S+) \S+ \\\n  -n (\S+) .*-f values\.yaml$", text, re.MULTILINE
    )
    heredoc = re.search(r"^cat > values\.yaml <<'END'\n(.*?)^END$", text, re.DOTALL | re.MULTILINE)
    assert installed is not None
    assert heredoc is not None
    values = yaml.safe_load(heredoc[1])
    manifests = helm.render(values, release=installed[1], namespace=installed[2])
    metadata = find(manifests, "ServiceAccount")["metadata"]
    assert subject == f"system:serviceaccount:{metadata['namespace']}:{metadata['name']}"
    assert audience == "sts.aliyuncs.com"
    role = metadata["annotations"]["pod-identity.alibabacloud.com/role-name"]
    steps = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert f"CreateRole --RoleName {role} " in steps
    assert f"exec statefulset/{installed[1]} -- \\\n     {PROGRAM} check" in steps


ASK_WHERE_STS_IS = """
from alibabacloud_credentials.provider import OIDCRoleArnCredentialsProvider
role = {"role_arn": "acs:ram::1:role/r", "oidc_provider_arn": "p", "oidc_token_file_path": "f"}
print(OIDCRoleArnCredentialsProvider(**role)._sts_endpoint)
"""


@pytest.mark.process
def test_sts_is_asked_inside_the_vpc_where_the_readme_is_followed() -> None:
    """Both variables together lead the vendor's library to STS in the VPC; one does not."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    variables = dict(re.findall(r'name: (ALIBABA_CLOUD_\w+), value: "?([\w-]+)', text))

    def endpoint(given: Mapping[str, str]) -> str:
        command = [sys.executable, "-c", ASK_WHERE_STS_IS]
        return subprocess.run(
            command, env=given, check=True, capture_output=True, text=True
        ).stdout.strip()

    assert endpoint(variables) == "sts-vpc.cn-hangzhou.aliyuncs.com"
    assert len(variables) == 2
    one = {"ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED": "true"}
    assert endpoint(one) == "sts.aliyuncs.com"
