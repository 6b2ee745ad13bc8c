"""Settings from flags: `--api.max-attempts 3` or `--api.max-attempts=3`."""

from collections.abc import Iterable, Iterator, Sequence

from pydantic_settings import CliSettingsSource

from exporter.settings.given import Given, Path, Spelling
from exporter.settings.names import known, nearest
from exporter.settings.schema import Settings


def read(argv: Sequence[str], problems: list[str]) -> Given:
    """Read flags; what is wrong with their names is added to `problems`.

    A list may be given by repeating its flag; of other flags the last one holds.
    """
    by_flag = {setting.flag: setting for setting in known().values()}
    spellings: dict[Path, Spelling] = {}
    parsed: dict[str, list[str] | str] = {}
    for flag, value in pairs(argv):
        setting = by_flag.get(flag)
        if setting is None:
            problems.append(_unknown(flag, by_flag))
        elif value is None:
            problems.append(f"{flag}: give a value, such as {flag}={setting.notation.word}")
        else:
            spellings[setting.path] = Spelling(flag)
            earlier = parsed.get(setting.key, [])
            parsed[setting.key] = [*earlier, value] if setting.is_list else value
    # argparse, which the source would use on its own, spoils some values (`--x=--`, `--x=[a,`).
    source: CliSettingsSource[Settings] = CliSettingsSource(
        Settings, cli_parse_args=False, cli_kebab_case=True, cli_avoid_json=True
    )
    return Given("flag", source(parsed_args=parsed)(), spellings)


def pairs(
    argv: Sequence[str], switches: frozenset[str] = frozenset()
) -> Iterator[tuple[str, str | None]]:
    """Give each flag with its value, `None` where it lacks one.

    Every flag takes a value but `switches`. An argument that is no flag comes with `None`.
    """
    waiting = list(reversed(argv))
    while waiting:
        argument = waiting.pop()
        flag, equals, value = argument.partition("=")
        if not argument.startswith("--"):
            yield argument, None
        elif equals:
            yield flag, value
        elif flag in switches or not waiting or waiting[-1].startswith("--"):
            yield flag, None
        else:
            yield flag, waiting.pop()


def _unknown(flag: str, known_flags: Iterable[str]) -> str:
    kind = "flag" if flag.startswith("-") else "argument"
    advice = nearest(flag, known_flags) or "see --help for those there are"
    return f"{flag}: unknown {kind}; {advice}"
