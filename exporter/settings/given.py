"""What one source of settings gave, and how it was written there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Origin = Literal["flag", "environment", "file", "default"]

Path = tuple[str, ...]
"""Leads to a setting in the schema: `("api", "max_attempts")`."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """How the operator named a setting."""

    name: str
    place: str = ""
    """Where the name alone does not tell: file and line."""

    def quote(self, inside: str = "", value: str = "") -> str:
        """Name the setting, a part of it, and the value it was given, for an error."""
        shown = f"={value}" if value else ""
        place = f" ({self.place})" if self.place else ""
        return f"{self.name}{inside}{shown}{place}"


@dataclass(frozen=True, slots=True)
class Given:
    """The settings that one source gave."""

    origin: Origin
    values: Mapping[str, Any] = field(default_factory=dict)
    """Nested as the schema is, not yet validated."""

    spellings: Mapping[Path, Spelling] = field(default_factory=dict)
    """The settings that were given."""

    def value(self, path: Path) -> object:
        """Give what the operator gave at `path`."""
        value: Any = self.values
        for step in path:
            value = value[step]
        return value


def strongest(givens: Sequence[Given], path: Path) -> Given | None:
    """Give the first source that gave the setting at `path`."""
    return next((given for given in givens if path in given.spellings), None)
