"""Names of settings, and how their values are shown."""

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from exporter.settings import Settings
from exporter.settings.registry import Setting, all_settings
from tests.support.command_line import load


def test_each_setting_has_a_flag_a_variable_and_a_key() -> None:
    """Their names follow from the setting's."""
    setting = all_settings()["api", "max_attempts"]
    assert (setting.name, setting.flag, setting.variable, setting.key) == (
        "api.max-attempts",
        "--api.max-attempts",
        "EMR_EXPORTER_API__MAX_ATTEMPTS",
        "api.max_attempts",
    )


@pytest.mark.parametrize(
    ("path", "default"),
    [
        ("region_id", "required where a target names none"),
        ("workspace_ids", "empty"),
        ("targets", "empty"),
        ("session_clusters.enabled", "true"),
        ("livy.enabled", "true"),
        ("api.endpoint", "by region"),
        ("api.network", "public"),
        ("api.timeout", "10s"),
        ("api.max_attempts", "4"),
        ("api.max_requests_per_second", "10"),
        ("api.max_response_bytes", "16MiB"),
        ("poll.interval", "30s"),
        ("poll.timeout", "1m"),
        ("poll.stale_after", "5m"),
        ("livy.full_walk_interval", "6h"),
        ("livy.settle_after", "30m"),
        ("discovery.interval", "10m"),
        ("sessions.ended_retention", "15m"),
        ("sessions.max_series_sessions", "5000"),
        ("usage.by_proxy_user", "true"),
        ("usage.max_proxy_users", "200"),
        ("ledger.path", "emr-exporter.db"),
        ("ledger.birth_hold", "90s"),
        ("ledger.forget_after", "400d"),
        ("web.listen_address", "127.0.0.1:9825"),
        ("web.config.file", "none"),
        ("web.telemetry_path", "/metrics"),
        ("web.health_auth", "false"),
        ("log.level", "info"),
        ("log.format", "logfmt; console on a TTY"),
        ("demo.speed", "60"),
    ],
)
def test_defaults_are_shown_in_the_settings_notation(path: str, default: str) -> None:
    """With the documented values."""
    assert all_settings()[tuple(path.split("."))].default == default


def test_every_default_shown_is_accepted_as_a_value() -> None:
    """Except for settings without a default."""
    settings = [
        each for each in all_settings().values() if each.field.get_default() not in (None, ())
    ]
    argv = [f"{setting.flag}={setting.default}" for setting in settings]
    assert load("demo", argv, {}).settings == Settings()


@pytest.mark.parametrize("annotation", [SecretStr, SecretStr | None])
def test_a_secret_is_masked(annotation: type) -> None:
    """The value of a secret setting is never written."""
    setting = Setting(("password",), FieldInfo.from_annotation(annotation))
    assert setting.is_secret
    assert setting.write(SecretStr("geheim")) == "********"
    assert setting.write("geheim") == "********"
