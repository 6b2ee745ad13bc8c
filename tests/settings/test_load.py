"""Where settings come from, and which source wins."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from exporter.settings import Loaded, Settings, TargetSettings
from exporter.settings.registry import Setting, all_settings
from tests.support.command_line import COMMANDS, load

REGION = {"EMR_EXPORTER_REGION_ID": "cn-hangzhou"}


def loaded(*argv: str, environ: Mapping[str, str] = REGION) -> Loaded:
    """Load settings for the daemon."""
    return load("serve", argv, environ)


def test_defaults_hold_where_nobody_says_otherwise() -> None:
    """With a region alone, every other setting has its default."""
    result = loaded()
    assert result.settings.model_dump(exclude_defaults=True) == {"region_id": "cn-hangzhou"}
    assert {name for name, origin in result.origins.items() if origin != "default"} == {"region-id"}


def test_flags_win_over_variables_and_variables_over_the_file(tmp_path: Path) -> None:
    """Flags, environment, file, default: the strongest source that names a setting holds."""
    file = tmp_path / "exporter.yml"
    file.write_text("api: {timeout: 1s, max_attempts: 2, network: vpc}\nregion_id: cn-beijing\n")
    environ = {
        "EMR_EXPORTER_CONFIG__FILE": str(file),
        "EMR_EXPORTER_API__TIMEOUT": "2s",
        "EMR_EXPORTER_API__MAX_ATTEMPTS": "3",
    }
    result = loaded("--api.timeout=3s", environ=environ)
    assert result.settings.api.timeout == 3
    assert result.settings.api.max_attempts == 3
    assert result.settings.api.network == "vpc"
    assert result.settings.region_id == "cn-beijing"
    assert [
        result.origins[name]
        for name in ("api.timeout", "api.max-attempts", "api.network", "poll.interval")
    ] == ["flag", "environment", "file", "default"]


@pytest.mark.parametrize(
    "argv",
    [
        ["--api.max-attempts", "3", "--livy.enabled", "false"],
        ["--api.max-attempts=3", "--livy.enabled=false"],
        ["--api.max-attempts=9", "--livy.enabled=no", "--api.max-attempts=3"],
    ],
)
def test_flags_take_their_value_with_and_without_equals(argv: list[str]) -> None:
    """A flag's value follows it, or an equals sign; of repeated flags the last one holds."""
    settings = loaded(*argv).settings
    assert settings.api.max_attempts == 3
    assert settings.livy.enabled is False


@given(st.sampled_from([*all_settings().values()]), st.text(alphabet="ab[]{}\",\\'= \n:-0é"))
def test_a_flag_hands_over_exactly_what_was_typed(setting: Setting, value: str) -> None:
    """No value is rewritten on its way from the command line, however odd."""
    serve = COMMANDS["serve"]
    params = serve.make_context("serve", [f"{setting.flag}={value}"], obj={}).params
    given_by_flag = params["__".join(setting.path)]
    assert given_by_flag == ((value,) if setting.is_list else value)


@pytest.mark.parametrize(
    "argv",
    [
        ["--workspace-ids=w-1,w-2"],
        ["--workspace-ids", '["w-1", "w-2"]'],
        ["--workspace-ids=w-1", "--workspace-ids=w-2"],
    ],
)
def test_list_flags_take_commas_json_and_repetition(argv: list[str]) -> None:
    """A list may be typed in three ways."""
    assert loaded(*argv).settings.workspace_ids == ("w-1", "w-2")


@pytest.mark.parametrize("value", ["w-1,w-2", '["w-1","w-2"]'])
def test_list_variables_take_commas_and_json(value: str) -> None:
    """A list in the environment need not be JSON."""
    result = loaded(environ=REGION | {"EMR_EXPORTER_WORKSPACE_IDS": value})
    assert result.settings.workspace_ids == ("w-1", "w-2")


def test_an_empty_variable_is_unset() -> None:
    """An empty variable leaves the default, whatever its type."""
    empty = {setting.variable: "" for setting in all_settings().values()}
    result = loaded("--region-id=cn-hangzhou", environ=empty)
    assert result.settings == loaded().settings


def test_an_empty_key_of_the_file_is_unset(tmp_path: Path) -> None:
    """A key without value, or a group of which all is commented out, leaves the defaults."""
    file = tmp_path / "exporter.yml"
    file.write_text("api:\npoll:\n  interval:\nworkspace_ids:\n")
    assert loaded(f"--config.file={file}").settings.api == Settings().api


@pytest.mark.parametrize("content", ["", "---\n", "# nothing\n"])
def test_an_empty_file_sets_nothing(tmp_path: Path, content: str) -> None:
    """A file may be empty."""
    file = tmp_path / "exporter.yml"
    file.write_text(content)
    assert set(loaded(f"--config.file={file}").origins.values()) == {
        "flag",
        "environment",
        "default",
    }


def test_the_file_takes_lists_anchors_and_numbers(tmp_path: Path) -> None:
    """YAML's own ways of writing are understood."""
    file = tmp_path / "exporter.yml"
    file.write_text("poll: {interval: &t 45, timeout: *t}\ndiscovery:\n  include: ['a*', b]\n")
    settings = loaded(f"--config.file={file}").settings
    assert (settings.poll.interval, settings.poll.timeout) == (45.0, 45.0)
    assert settings.discovery.include == ("a*", "b")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("EMR_EXPORTER_SERVICE_HOST", "10.0.0.1"),
        ("EMR_EXPORTER_SERVICE_PORT", "9825"),
        ("EMR_EXPORTER_SERVICE_PORT_METRICS", "9825"),
        ("EMR_EXPORTER_PORT", "tcp://10.0.0.1:9825"),
        ("EMR_EXPORTER_PORT_9825_TCP", "tcp://10.0.0.1:9825"),
        ("EMR_EXPORTER_PORT_9825_TCP_PROTO", "tcp"),
        ("EMR_EXPORTER_PORT_9825_TCP_PORT", "9825"),
        ("EMR_EXPORTER_PORT_9825_TCP_ADDR", "10.0.0.1"),
        ("EMR_EXPORTER_HEADLESS_SERVICE_HOST", "10.0.0.1"),
        ("EMR_EXPORTER_HEADLESS_PORT", "tcp://10.0.0.1:9825"),
        ("EMR_EXPORTER_HEADLESS_PORT_9825_TCP_ADDR", "10.0.0.1"),
    ],
)
def test_variables_that_kubernetes_injects_are_harmless(variable: str, value: str) -> None:
    """A Service named like the exporter does not keep it from starting."""
    assert loaded(environ=REGION | {variable: value}) == loaded()


def test_variables_of_others_are_left_alone() -> None:
    """Only variables with the exporter's prefix are looked at."""
    assert loaded(environ=REGION | {"ALIBABA_CLOUD_ACCESS_KEY_ID": "x", "PATH": "/bin"}) == loaded()


def test_settings_read_nothing_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Building settings looks at no environment: what counts is what `load` was handed."""
    monkeypatch.setenv("REGION_ID", "cn-hangzhou")
    monkeypatch.setenv("EMR_EXPORTER_REGION_ID", "cn-hangzhou")
    assert Settings().region_id is None


def test_settings_are_frozen_at_every_level() -> None:
    """Nobody changes a setting after the start."""
    settings = loaded().settings
    for part, name in ((settings, "region_id"), (settings.api, "timeout")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(part, name, "1")


def test_every_setting_is_described() -> None:
    """No setting goes without a description."""
    assert [
        setting.name for setting in all_settings().values() if not setting.field.description
    ] == []


def test_the_region_of_targets_is_filled_in() -> None:
    """A target without region is in the region of the settings."""
    targets = '[{"workspace_id": "w-1"}, {"workspace_id": "w-2", "region_id": "cn-beijing"}]'
    assert loaded(f"--targets={targets}").settings.effective_targets() == (
        TargetSettings(workspace_id="w-1", region_id="cn-hangzhou"),
        TargetSettings(workspace_id="w-2", region_id="cn-beijing"),
    )


def test_workspaces_and_gateways_are_targets_too() -> None:
    """However the operator names what to poll, it comes out in one form."""
    argv = ("--workspace-ids=w-1", "--livy-compute-ids=lc-1,lc-2")
    assert loaded(*argv).settings.effective_targets() == (
        TargetSettings(
            region_id="cn-hangzhou", workspace_id="w-1", livy_compute_ids=("lc-1", "lc-2")
        ),
    )
    assert loaded().settings.effective_targets() == (TargetSettings(region_id="cn-hangzhou"),)


def test_the_account_of_a_target_is_that_of_its_role() -> None:
    """Without a name of its own, an account is called by its id in the role."""
    role = "acs:ram::1234567890123456:role/reader"
    assert TargetSettings(role_arn=role).account_name == "1234567890123456"
    assert TargetSettings(role_arn=role, account="data").account_name == "data"
    assert TargetSettings().account_name == ""


def test_targets_come_from_the_file_as_yaml(tmp_path: Path) -> None:
    """Many regions and accounts are listed in the file."""
    file = tmp_path / "exporter.yml"
    file.write_text(
        "targets:\n"
        "  - region_id: cn-beijing\n"
        "    workspace_id: w-1\n"
        "    livy_compute_ids: [lc-1]\n"
        "    role_arn: acs:ram::1:role/reader\n"
        "    account: data\n"
    )
    (target,) = loaded(f"--config.file={file}", environ={}).settings.targets
    assert target.livy_compute_ids == ("lc-1",)
    assert target.account == "data"


def test_a_ledger_is_known_to_be_asked_for() -> None:
    """`once` uses a ledger only where somebody set its path, even to the default."""
    assert not loaded().settings.ledger.is_given
    assert not loaded("--ledger.birth-hold=1s").settings.ledger.is_given
    assert loaded("--ledger.path=emr-exporter.db").settings.ledger.is_given


@pytest.mark.parametrize("command", ["demo", "config", "metrics", "ledger backup"])
def test_commands_that_call_no_api_need_no_region(command: str) -> None:
    """Where nothing is polled, no region is asked for."""
    words = ["x"] if command == "ledger backup" else []
    assert load(command, words, {}).settings.region_id is None
