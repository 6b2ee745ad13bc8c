"""The argument list, taken apart: commands and flags may come in any order."""

from collections.abc import Sequence
from dataclasses import dataclass

from exporter.settings.flags import pairs

_HELP = frozenset({"-h", "--help"})
_VERSION = frozenset({"-V", "--version"})


@dataclass(frozen=True, slots=True)
class Arguments:
    """What the operator typed."""

    words: tuple[str, ...] = ()
    """The command, and whatever else is no flag."""

    flags: tuple[tuple[str, str | None], ...] = ()
    """With their values, `None` where one is lacking."""

    asks_help: bool = False
    asks_version: bool = False


def split(argv: Sequence[str]) -> Arguments:
    """Take `argv` apart. Every flag but `--help` and `--version` takes a value."""
    tokens = list(pairs(argv, _HELP | _VERSION))
    names = {name for name, value in tokens if value is None}
    return Arguments(
        words=tuple(name for name, _ in tokens if not name.startswith("-")),
        flags=tuple(
            (name, value)
            for name, value in tokens
            if name.startswith("-") and (value is not None or name not in _HELP | _VERSION)
        ),
        asks_help=not names.isdisjoint(_HELP),
        asks_version=not names.isdisjoint(_VERSION),
    )
