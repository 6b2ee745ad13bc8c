"""Names of settings, and how their values are shown."""

from exporter.settings import Settings
from exporter.settings.registry import all_settings
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


def test_every_default_shown_is_accepted_as_a_value() -> None:
    """Except for settings without a default."""
    settings = [
        each for each in all_settings().values() if each.field.get_default() not in (None, ())
    ]
    argv = [f"{setting.flag}={setting.default}" for setting in settings]
    assert load("demo", argv, {}).settings == Settings()
