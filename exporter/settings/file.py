"""Settings from a YAML file, in snake_case."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from exporter.errors import SettingsError
from exporter.settings.given import Given, Spelling
from exporter.settings.names import known, nearest

_NULL = "tag:yaml.org,2002:null"

_NOT_OF_THE_FILE = ("config", "file")
"""Only a flag or a variable can name the file."""


def read(path: Path, problems: list[str]) -> Given:
    """Read the file; unknown and repeated keys are added to `problems`.

    A key without value counts as unset. Raises `SettingsError` where there is no mapping to read.
    """
    try:
        leaves = _read(path, _text(path), problems)
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}{_place(error)}: no valid YAML: {_what(error)}") from None
    return Given(
        "file",
        _nest({key: value for key, (_, value) in leaves.items()}),
        {key: _spelling(key, path, line) for key, (line, _) in leaves.items()},
    )


def _read(path: Path, text: str, problems: list[str]) -> dict[tuple[str, ...], tuple[int, Any]]:
    """Give line and value of each setting."""
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None or root.tag == _NULL:
            return {}
        if not isinstance(root, yaml.MappingNode):
            raise SettingsError(f"{path}, line 1: give a mapping of settings, such as `poll:`")
        walk = _Walk(path, problems, loader)
        return {key: (line, value) for key, line, value in walk.leaves(root, ())}
    finally:
        loader.dispose()


@dataclass(frozen=True, slots=True)
class _Walk:
    """Goes down the file along the schema, so that every key is known by its line."""

    path: Path
    problems: list[str]
    loader: yaml.SafeLoader

    def leaves(
        self, mapping: yaml.MappingNode, above: tuple[str, ...]
    ) -> Iterator[tuple[tuple[str, ...], int, Any]]:
        """Give path, line and value of every setting below `mapping`."""
        seen = set()
        for key_node, node in mapping.value:
            key = (*above, str(key_node.value))
            line = key_node.start_mark.line + 1
            if key in seen:
                self._complain(key, line, "this key is given twice; give it once")
            elif key in known() and key != _NOT_OF_THE_FILE:
                yield from self._value(node, key, line)
            elif key in _groups():
                yield from self._group(node, key, line)
            else:
                self._complain(key, line, f"unknown key; {_advice(key)}")
            seen.add(key)

    def _value(
        self, node: yaml.Node, key: tuple[str, ...], line: int
    ) -> Iterator[tuple[tuple[str, ...], int, Any]]:
        if node.tag == _NULL:
            return
        try:
            yield key, line, self.loader.construct_object(node, deep=True)
        except ValueError:  # it looks like a date or a number, and is none
            self._complain(key, line, "this cannot be read; if it is a text, put it in quotes")

    def _group(
        self, node: yaml.Node, key: tuple[str, ...], line: int
    ) -> Iterator[tuple[tuple[str, ...], int, Any]]:
        if isinstance(node, yaml.MappingNode):
            yield from self.leaves(node, key)
        elif node.tag != _NULL:
            self._complain(key, line, "give a mapping of settings below it")

    def _complain(self, key: tuple[str, ...], line: int, what: str) -> None:
        self.problems.append(f"{_spelling(key, self.path, line).quote()}: {what}")


def _spelling(key: tuple[str, ...], path: Path, line: int) -> Spelling:
    return Spelling(".".join(key), f"{path}, line {line}")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: this is no UTF-8 text; save it as UTF-8") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(f"{path}: cannot be read: {reason}; see --config.file") from None


def _groups() -> frozenset[tuple[str, ...]]:
    keys = (key for key in known() if key != _NOT_OF_THE_FILE)
    return frozenset(key[:depth] for key in keys for depth in range(1, len(key)))


def _advice(key: tuple[str, ...]) -> str:
    names = [".".join(path) for path in (*known(), *_groups()) if path != _NOT_OF_THE_FILE]
    return nearest(".".join(key), names) or "remove it"


def _nest(leaves: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for path, value in leaves.items():
        level = nested
        for step in path[:-1]:
            level = level.setdefault(step, {})
        level[path[-1]] = value
    return nested


def _place(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f", line {mark.line + 1}" if mark else ""


def _what(error: yaml.YAMLError) -> str:
    """Give the parser's words on one line, without the excerpt of the file."""
    said = getattr(error, "problem", None) or getattr(error, "reason", None) or error
    return " ".join(str(said).split())
