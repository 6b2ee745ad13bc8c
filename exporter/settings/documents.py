"""Strict reading of YAML files and JSON texts, shared by the settings and the web configuration.

Scalars are texts as they were written: `010`, `yes` and `1:30` mean in a file what they mean in an
environment variable, and whoever asked for a number or a truth value reads it from the text.
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
_NULL = f"{_TAG}null"
_MERGE = f"{_TAG}merge"
_TAGS = {
    _TAG + name
    for name in ("null", "bool", "int", "float", "timestamp", "str", "value", "map", "seq")
}
"""Of values that carry no tag; PyYAML guesses them."""

_ADVICE = {
    "found undefined alias": "undefined alias; put a text that begins with * in quotes",
    "found undefined tag": "undefined tag; put a text that begins with ! in quotes",
}
"""By the beginning of PyYAML's words, where these would repeat what may be part of a secret."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one key or value of a document."""

    steps: Steps
    line: int
    advice: str


@dataclass(frozen=True, slots=True)
class Document:
    """What stands in a file."""

    value: Any
    """Dictionaries, lists and texts; `None` for a key without value."""

    lines: Mapping[Steps, int]
    """The line of every key and list item."""

    problems: tuple[Problem, ...]


def read_yaml(path: Path, setting: str) -> Document:
    """Read the YAML file that the flag `setting` names.

    Raises `UsageError` where the file cannot be read as a whole.
    """
    text = _text(path, setting)
    reading = _Reading()
    try:
        root = yaml.compose(text, _Loader)
        value = None if root is None else reading.value(root, (), 0)
    except yaml.YAMLError as error:
        raise UsageError(f"{path}{_place(error, text)}: invalid YAML: {_what(error)}") from None
    return Document(value, reading.lines, tuple(reading.problems))


def read_json(text: str) -> Any:  # noqa: ANN401 - whatever stands in the text
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
    return "".join(parts).removeprefix(".")


class _Loader(yaml.SafeLoader):
    """Bounds the depth, because PyYAML's composer calls itself for each level."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            event = self.peek_event()  # type: ignore[no-untyped-call]
            _refuse(event, f"it is nested more than {_MAX_DEPTH} levels deep")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


@dataclass(slots=True)
class _Reading:
    """Turns PyYAML's nodes into values, and remembers where each stood."""

    lines: dict[Steps, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    count: int = 0

    def value(self, node: yaml.Node, steps: Steps, depth: int) -> Any:  # noqa: ANN401
        self.count += 1
        if self.count > _MAX_VALUES:
            _refuse(node, f"more than {_MAX_VALUES} values, aliases counted as often as used")
        if depth > _MAX_DEPTH:
            _refuse(node, "an alias that contains itself")
        if node.tag not in _TAGS:
            self._complain(node, steps, "tags are not supported; put a text with ! in quotes")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, steps, depth)
        if isinstance(node, yaml.SequenceNode):
            return [
                self._item(item, (*steps, index), depth) for index, item in enumerate(node.value)
            ]
        return None if node.tag == _NULL else node.value

    def _item(self, node: yaml.Node, steps: Steps, depth: int) -> Any:  # noqa: ANN401
        self.lines[steps] = _line(node)
        return self.value(node, steps, depth + 1)

    def _mapping(self, node: yaml.MappingNode, steps: Steps, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, base in node.value:
            if key_node.tag == _MERGE:
                values = self._merged(base, steps, depth) | values
        seen = set()
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self._complain(key_node, steps, "give a text as key")
                continue
            key = str(key_node.value)
            below = (*steps, key)
            if key in seen:
                self._complain(key_node, below, "this key is given twice; give it once")
                continue
            seen.add(key)
            self.lines[below] = _line(key_node)
            values[key] = self.value(value_node, below, depth + 1)
        return values

    def _merged(self, node: yaml.Node, steps: Steps, depth: int) -> dict[str, Any]:
        """Read what `<<` refers to: a mapping, or a list of which the first ones win."""
        bases = node.value if isinstance(node, yaml.SequenceNode) else [node]
        values: dict[str, Any] = {}
        for base in bases:
            if isinstance(base, yaml.MappingNode):
                values = self.value(base, steps, depth + 1) | values
            else:
                self._complain(base, steps, "give << a mapping, such as an alias of one")
        return values

    def _complain(self, node: yaml.Node, steps: Steps, advice: str) -> None:
        self.problems.append(Problem(steps, _line(node), advice))


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


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _place(error: yaml.YAMLError, text: str) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f", line {error.problem_mark.line + 1}"
    position = getattr(error, "position", None)
    return "" if position is None else f", line {text.count(chr(10), 0, position) + 1}"


def _what(error: yaml.YAMLError) -> str:
    """Return the parser's words on one line, without the excerpt of the file."""
    words = getattr(error, "problem", None) or getattr(error, "reason", None) or error
    text = " ".join(str(words).split())
    return next((ours for theirs, ours in _ADVICE.items() if text.startswith(theirs)), text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice} is given twice; give it once")
    return values


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")
