"""Strict reading of YAML files and JSON texts, for the settings and the web configuration.

Scalars are texts as they were written: `010`, `yes` and `1:30` mean in a file what they mean in an
environment variable, and the schema reads numbers and truth values from the text.
"""

import json
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Never

import yaml

from exporter.errors import UsageError

Steps = tuple[str | int, ...]
"""The keys and indexes that lead to a value: `("targets", 0, "region_id")`."""

_MAX_BYTES = 2**20
_MAX_DEPTH = 20
_MAX_VALUES = 50_000
"""Aliases can make many values of a small file."""

_TAG = "tag:yaml.org,2002:"
_PLAIN = ("null", "bool", "int", "float", "timestamp", "str", "value", "map", "seq")
"""What PyYAML takes a value without a tag for."""

_ADVICE = {
    "found character '\\t'": "a tab; indent with spaces",
    "expected <block end>": "not indented as the lines above",
    "found undefined alias": "undefined alias; put a text that begins with * in quotes",
    "found undefined tag": "undefined tag; put a text that begins with ! in quotes",
}
"""By the beginning of PyYAML's words, where these say little, or repeat what may be a secret."""


@dataclass(frozen=True, slots=True)
class Document:
    """The content of a file."""

    path: Path
    value: Any
    """Dictionaries, lists and texts; `None` for a key without value."""

    lines: Mapping[Steps, int]
    """The line of every key and list item."""

    def place(self, steps: Steps) -> str:
        """Return file and line of a value, or of what encloses it."""
        while steps not in self.lines:
            steps = steps[:-1]
        return f"{self.path}, line {self.lines[steps]}"


def read_yaml(path: Path, setting: str) -> Document:
    """Read the YAML file that the flag `setting` names.

    Raises `UsageError` with one line that names file, line and what to do.
    """
    text = _text(path, setting)
    reading = _Reading()
    try:
        root = yaml.compose(text, _Loader)
        value = None if root is None else reading.value(root, ())
    except yaml.YAMLError as error:
        raise UsageError(f"{path}{_place(error, text)}: {_what(error)}") from None
    return Document(path, value, reading.lines)


def read_json(text: str) -> Any:  # noqa: ANN401 - whatever the text holds
    """Read a JSON text as strictly as a file; numbers come as `Decimal`, however long.

    Raises `ValueError` that says what is wrong.
    """
    try:
        return json.loads(
            text,
            object_pairs_hook=_unique,
            parse_int=Decimal,
            parse_float=Decimal,
            parse_constant=_refuse_constant,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def dotted(steps: Iterable[str | int]) -> str:
    """Write steps as people do: `targets[0].region_id`."""
    parts = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    joined = "".join(parts)
    return printable(joined.removeprefix(".")) if joined else ""


def printable(text: str) -> str:
    """Return `text` as it is, or quoted where it is empty or would not stay on its line."""
    return text if text.isprintable() and text else repr(text)


class _Loader(yaml.SafeLoader):
    """Composes nodes, and refuses what would be lost or changed when they become values."""

    _depth = 0
    _count = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Bound the number, and the depth: PyYAML's composer calls itself for each level."""
        self._depth += 1
        self._count += 1
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if self._depth > _MAX_DEPTH:
            _refuse(event, f"it is nested more than {_MAX_DEPTH} levels deep")
        if self._count > 2 * _MAX_VALUES:  # with their keys
            _refuse(event, f"more than {_MAX_VALUES} values")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:  # noqa: ANN401
        """Refuse repeated keys, then merge what `<<` refers to."""
        node = super().compose_mapping_node(anchor)
        keys = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                _refuse(key_node, "a key is one text")
            if key_node.value in keys:
                _refuse(
                    key_node, f"the key {printable(key_node.value)} is given twice; give it once"
                )
            keys.add(key_node.value)
        merged = [base for key, base in node.value if key.tag == f"{_TAG}merge"]
        bases = [base for item in merged for base in (item.value if _is_list(item) else [item])]
        if sum(len(base.value) for base in bases) > _MAX_VALUES:
            _refuse(node, f"<< merges more than {_MAX_VALUES} keys")
        self.flatten_mapping(node)
        return node


@dataclass(slots=True)
class _Reading:
    """Turns nodes into values, and remembers where each stood."""

    lines: dict[Steps, int] = field(default_factory=lambda: {(): 1})
    count: int = 0

    def value(self, node: yaml.Node, steps: Steps) -> Any:  # noqa: ANN401
        self.count += 1
        if self.count > _MAX_VALUES:
            _refuse(node, f"more than {_MAX_VALUES} values, aliases counted as often as used")
        if len(steps) > _MAX_DEPTH:
            _refuse(node, "an alias that contains itself")
        if node.tag.removeprefix(_TAG) not in _PLAIN:
            _refuse(node, "tags are not supported; put a text that begins with ! in quotes")
        if isinstance(node, yaml.MappingNode):
            return {
                key.value: self._value_at(value, key, (*steps, key.value))
                for key, value in node.value
            }
        if isinstance(node, yaml.SequenceNode):
            return [
                self._value_at(item, item, (*steps, index)) for index, item in enumerate(node.value)
            ]
        return None if node.tag == f"{_TAG}null" else node.value

    def _value_at(self, node: yaml.Node, place: yaml.Node, steps: Steps) -> Any:  # noqa: ANN401
        self.lines[steps] = place.start_mark.line + 1
        return self.value(node, steps)


def _is_list(node: yaml.Node) -> bool:
    return isinstance(node, yaml.SequenceNode)


def _text(path: Path, setting: str) -> str:
    try:
        # `Path.open` takes no opener.
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UsageError(f"{path}: not a regular file; name one with {setting}")
            data = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path}: cannot be read: {reason}; see {setting}") from None
    if len(data) > _MAX_BYTES:
        raise UsageError(f"{path}: larger than 1 MiB; name a smaller file with {setting}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}, line {line}: not UTF-8; save the file as UTF-8") from None


def _without_waiting(path: str, flags: int) -> int:
    """Open without waiting for the other end of a FIFO."""
    return os.open(path, flags | os.O_NONBLOCK)


def _refuse(at: yaml.Node | yaml.Event, problem: str) -> Never:
    mark: Any = at.start_mark  # libyaml has a class of its own for it
    raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _place(error: yaml.YAMLError, text: str) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f", line {error.problem_mark.line + 1}"
    position = getattr(error, "position", None)
    return "" if position is None else f", line {text.count(chr(10), 0, position) + 1}"


def _what(error: yaml.YAMLError) -> str:
    """Return the problem on one line, in PyYAML's words where it is PyYAML's."""
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or error
    text = " ".join(str(problem).split())
    ours = next((ours for theirs, ours in _ADVICE.items() if text.startswith(theirs)), text)
    return ours if type(error) is yaml.MarkedYAMLError else f"invalid YAML: {ours}"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    values = dict(pairs)
    if len(values) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {printable(twice)} is given twice; give it once")
    return values


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")
