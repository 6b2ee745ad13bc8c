"""Settings that are valid individually but contradict each other."""

import json
from collections.abc import Mapping

import pytest

from exporter.errors import SettingsError
from tests.support.command_line import load


def problems(*argv: str, region: str = "cn-hangzhou") -> list[str]:
    """Return what is said to be wrong."""
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


def test_targets_cannot_be_combined_with_ids() -> None:
    """What to poll is given either by `targets` or by ids."""
    argv = ("--workspace-ids=w-2", "--livy-compute-ids=lc-1")
    assert problems(targets({"workspace_id": "w-1"}), *argv) == [
        "--workspace-ids: cannot be combined with --targets; set it there",
        "--livy-compute-ids: cannot be combined with --targets; set it there",
    ]


def test_a_workspace_listed_twice_is_refused() -> None:
    """Two accounts that poll the same workspace would count it twice."""
    twice = targets({"workspace_id": "w-1"}, {"workspace_id": "w-1", "account": "other"})
    assert problems(twice) == ["--targets: w-1 is listed 2 times; list it once"]


def test_a_region_listed_twice_for_an_account_is_refused() -> None:
    """For two accounts it is allowed."""
    role = {"role_arn": "acs:ram::7:role/reader"}
    both = targets({"region_id": "cn-a"}, {"region_id": "cn-a"} | role)
    assert len(load("serve", [both], {}).settings.targets) == 2
    assert problems(targets({}, {"region_id": "cn-hangzhou"})) == [
        "--targets: region cn-hangzhou is listed 2 times; list it once"
    ]
    assert problems(targets(role, role)) == [
        "--targets: region cn-hangzhou of account 7 is listed 2 times; list it once"
    ]


def test_a_target_with_gateways_needs_a_workspace() -> None:
    """Gateways belong to a workspace."""
    assert problems(targets({"livy_compute_ids": ["lc-1"]})) == [
        "--targets[0].livy_compute_ids: set workspace_id too"
    ]


def test_a_target_without_any_region_is_refused() -> None:
    """The region may be its own or that of the settings."""
    entries = targets({"workspace_id": "w-1", "region_id": "cn-a"}, {"workspace_id": "w-2"})
    assert problems(entries, region="") == [
        "--targets[1]: set region_id, or --region-id for all targets"
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
def test_errors_in_targets_name_the_entry_and_the_key(value: str, line: str) -> None:
    """With the index of the entry."""
    (problem,) = problems(f"--targets={value}")
    assert problem.startswith(f"--targets{line}")
