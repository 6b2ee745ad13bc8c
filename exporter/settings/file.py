"""Settings from a YAML file, in snake_case."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.errors import SettingsError
from exporter.settings.documents import Document, dotted, read_yaml
from exporter.settings.given import Given, Spelling
from exporter.settings.names import known, nearest

Keys = tuple[str, ...]

_NOT_OF_THE_FILE = ("config", "file")
"""Only a flag or a variable can name the file."""


def read(path: Path, problems: list[str]) -> Given:
    """Read the file; unknown and repeated keys are added to `problems`.

    A key without value counts as unset. Raises `UsageError` where there is no mapping to read.
    """
    document = read_yaml(path, "--config.file")
    if not isinstance(document.value, dict | None):
        raise SettingsError(f"{path}, line 1: give a mapping of settings, such as `poll:`")
    for problem in document.problems:
        spelling = Spelling(dotted(problem.steps), f"{path}, line {problem.line}")
        problems.append(f"{spelling.quote()}: {problem.advice}")
    leaves = dict(_Walk(path, document, problems).leaves(document.value or {}, ()))
    return Given("file", _nest(leaves), {key: _spelling(key, path, document) for key in leaves})


@dataclass(frozen=True, slots=True)
class _Walk:
    """Goes down the file along the schema, so that every key is known by its line."""

    path: Path
    document: Document
    problems: list[str]

    def leaves(self, mapping: Mapping[str, Any], above: Keys) -> Iterator[tuple[Keys, Any]]:
        """Give path and value of every setting below `mapping`."""
        for name, value in mapping.items():
            key = (*above, name)
            if key in known() and key != _NOT_OF_THE_FILE:
                if value is not None:
                    yield key, value
            elif key not in _groups():
                self._complain(key, f"unknown key; {_advice(key)}")
            elif isinstance(value, dict):
                yield from self.leaves(value, key)
            elif value is not None:
                self._complain(key, "give a mapping of settings below it")

    def _complain(self, key: Keys, advice: str) -> None:
        self.problems.append(f"{_spelling(key, self.path, self.document).quote()}: {advice}")


def _spelling(key: Keys, path: Path, document: Document) -> Spelling:
    return Spelling(dotted(key), f"{path}, line {document.lines[key]}")


def _groups() -> frozenset[Keys]:
    keys = (key for key in known() if key != _NOT_OF_THE_FILE)
    return frozenset(key[:depth] for key in keys for depth in range(1, len(key)))


def _advice(key: Keys) -> str:
    names = [".".join(path) for path in (*known(), *_groups()) if path != _NOT_OF_THE_FILE]
    return nearest(".".join(key), names) or "remove it"


def _nest(leaves: Mapping[Keys, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for path, value in leaves.items():
        level = nested
        for step in path[:-1]:
            level = level.setdefault(step, {})
        level[path[-1]] = value
    return nested
