"""Which word of the command line is the command."""

from collections.abc import Sequence

QUESTIONS = frozenset({"-h", "--help", "-V", "--version"})
"""Flags that need no command."""

SWITCHES = QUESTIONS | {"--verbose"}
"""All other flags take a value."""


def place_of_command(args: Sequence[str]) -> int | None:
    """Find the first word that is neither a flag nor the value of one."""
    before = ""
    for place, word in enumerate(args):
        is_value = before.startswith("--") and "=" not in before and before not in SWITCHES
        if not word.startswith("-") and not is_value:
            return place
        before = word
    return None
