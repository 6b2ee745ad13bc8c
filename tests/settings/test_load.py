"""Sources of settings and their precedence."""

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


def test_with_a_region_alone_all_other_settings_have_defaults() -> None:
    """The region is the only required setting."""
    result = loaded()
    assert result.settings.model_dump(exclude_defaults=True) == {"region_id": "cn-hangzhou"}
    assert {name for name, origin in result.origins.items() if origin != "default"} == {"region-id"}


def test_flags_override_variables_and_variables_override_the_file(tmp_path: Path) -> None:
    """In the order flags, environment, file, default."""
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
    """Of repeated flags the last one applies."""
    settings = loaded(*argv).settings
    assert settings.api.max_attempts == 3
    assert settings.livy.enabled is False


@given(st.sampled_from([*all_settings().values()]), st.text(alphabet="ab[]{}\",\\'= \n:-0é"))
def test_flag_values_are_passed_on_unchanged(setting: Setting, value: str) -> None:
    """Whatever characters they contain."""
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
    """A key without a value, or a group with all keys commented out, leaves the defaults."""
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


def test_the_file_may_use_lists_anchors_and_numbers(tmp_path: Path) -> None:
    """In YAML's own notation."""
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
def test_variables_injected_by_kubernetes_are_ignored(variable: str, value: str) -> None:
    """They exist where a Service has the exporter's name."""
    assert loaded(environ=REGION | {variable: value}) == loaded()


def test_only_variables_with_the_prefix_are_read() -> None:
    """Others may have any name and value."""
    assert loaded(environ=REGION | {"ALIBABA_CLOUD_ACCESS_KEY_ID": "x", "PATH": "/bin"}) == loaded()


def test_constructing_settings_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what `load` was given counts."""
    monkeypatch.setenv("REGION_ID", "cn-hangzhou")
    monkeypatch.setenv("EMR_EXPORTER_REGION_ID", "cn-hangzhou")
    assert Settings().region_id is None


def test_settings_are_frozen_at_every_level() -> None:
    """Assigning to a setting raises an error."""
    settings = loaded().settings
    for part, name in ((settings, "region_id"), (settings.api, "timeout")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(part, name, "1")


def test_every_setting_has_a_description() -> None:
    """`--help` shows it."""
    assert [
        setting.name for setting in all_settings().values() if not setting.field.description
    ] == []


def test_targets_without_a_region_get_that_of_the_settings() -> None:
    """A region of their own is kept."""
    targets = '[{"workspace_id": "w-1"}, {"workspace_id": "w-2", "region_id": "cn-beijing"}]'
    assert loaded(f"--targets={targets}").settings.effective_targets() == (
        TargetSettings(workspace_id="w-1", region_id="cn-hangzhou"),
        TargetSettings(workspace_id="w-2", region_id="cn-beijing"),
    )


def test_workspace_and_gateway_ids_become_targets() -> None:
    """Both ways to name what to poll give the same form."""
    argv = ("--workspace-ids=w-1", "--livy-compute-ids=lc-1,lc-2")
    assert loaded(*argv).settings.effective_targets() == (
        TargetSettings(
            region_id="cn-hangzhou", workspace_id="w-1", livy_compute_ids=("lc-1", "lc-2")
        ),
    )
    assert loaded().settings.effective_targets() == (TargetSettings(region_id="cn-hangzhou"),)


def test_the_account_of_a_target_defaults_to_the_id_in_its_role() -> None:
    """Unless the target names an account."""
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


def test_an_explicit_ledger_path_is_told_from_the_default() -> None:
    """`once` uses a ledger only if its path was set, even to the default."""
    assert not loaded().settings.ledger.is_given
    assert not loaded("--ledger.birth-hold=1s").settings.ledger.is_given
    assert loaded("--ledger.path=emr-exporter.db").settings.ledger.is_given


@pytest.mark.parametrize("command", ["demo", "config", "metrics", "ledger backup"])
def test_commands_that_call_no_api_need_no_region(command: str) -> None:
    """Where nothing is polled, no region is asked for."""
    words = ["x"] if command == "ledger backup" else []
    assert load(command, words, {}).settings.region_id is None
