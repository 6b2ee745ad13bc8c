"""Settings that are right each by itself and wrong together."""

import json
from collections.abc import Mapping

import pytest

from exporter.errors import SettingsError
from tests.support.command_line import load


def problems(*argv: str, region: str = "cn-hangzhou") -> list[str]:
    """Give what is said to be wrong."""
    with pytest.raises(SettingsError) as caught:
        load("serve", argv, {"EMR_EXPORTER_REGION_ID": region})
    return list(caught.value.problems)


def targets(*entries: Mapping[str, object]) -> str:
    """Write the flag that names these targets."""
    return f"--targets={json.dumps(entries)}"


@pytest.mark.parametrize("workspaces", [[], ["--workspace-ids=w-1,w-2"]])
def test_gateways_need_exactly_one_workspace(workspaces: list[str]) -> None:
    """A gateway belongs to one workspace, so which one must be clear."""
    (problem,) = problems("--livy-compute-ids=lc-1", *workspaces)
    assert problem == (
        "--livy-compute-ids: name exactly one workspace with --workspace-ids, "
        "or use --targets for several"
    )


def test_targets_stand_alone() -> None:
    """What to poll is said either by targets or by ids, not both."""
    argv = ("--workspace-ids=w-2", "--livy-compute-ids=lc-1")
    assert problems(targets({"workspace_id": "w-1"}), *argv) == [
        "--workspace-ids: not together with --targets; name it there",
        "--livy-compute-ids: not together with --targets; name it there",
    ]


def test_a_workspace_is_a_target_once() -> None:
    """A workspace seen by two accounts would be counted twice."""
    twice = targets({"workspace_id": "w-1"}, {"workspace_id": "w-1", "account": "other"})
    assert problems(twice) == ["--targets: w-1 is named 2 times; name it once"]


def test_a_region_is_discovered_once_for_each_account() -> None:
    """The same region twice is an error, for two accounts it is not."""
    role = {"role_arn": "acs:ram::7:role/reader"}
    both = targets({"region_id": "cn-a"}, {"region_id": "cn-a"} | role)
    assert len(load("serve", [both], {}).settings.targets) == 2
    assert problems(targets({}, {"region_id": "cn-hangzhou"})) == [
        "--targets: region cn-hangzhou is named 2 times; name it once"
    ]
    assert problems(targets(role, role)) == [
        "--targets: region cn-hangzhou of account 7 is named 2 times; name it once"
    ]


def test_gateways_of_a_target_need_its_workspace() -> None:
    """Gateways of a target are looked for in its workspace."""
    assert problems(targets({"livy_compute_ids": ["lc-1"]})) == [
        "--targets[0].livy_compute_ids: name their workspace_id too"
    ]


def test_every_target_has_a_region() -> None:
    """Only targets that name their own region need none in the settings."""
    entries = targets({"workspace_id": "w-1", "region_id": "cn-a"}, {"workspace_id": "w-2"})
    assert problems(entries, region="") == [
        "--targets[1]: give it a region_id, or set --region-id for all"
    ]


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ('[{"workspace": "w-1"}]', "[0].workspace: unknown key; did you mean workspace_id?"),
        ('[{"role_arn": "me"}]', "[0].role_arn=me: give a role such as acs:ram::"),
        ('[{"livy_compute_ids": ["a/b"]}]', "[0].livy_compute_ids[0]=a/b: give an id of letters"),
        ("[3]", "[0]=3: give a mapping of keys such as region_id"),
        ("{}", ": give a list"),
        ('[{"a":', ": give a list of mappings, in YAML or JSON; invalid JSON: "),
    ],
)
def test_a_wrong_target_is_found_by_its_place(value: str, line: str) -> None:
    """An error inside targets names the entry and the key."""
    (problem,) = problems(f"--targets={value}")
    assert problem.startswith(f"--targets{line}")
