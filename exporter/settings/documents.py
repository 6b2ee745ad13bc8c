"""Strict reading of YAML files and JSON texts, for the settings and the web configuration.

Scalars are texts as they were written: `010`, `yes` and `1:30` mean in a file what they mean in an
environment variable, and the schema reads numbers and truth values from the text.
"""

import json
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
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

_NULL, _MERGE, _TEXT, _LIST, _MAPPING = (
    f"tag:yaml.org,2002:{kind}" for kind in ("null", "merge", "str", "seq", "map")
)
_ADVICE = {
    "found character '\\t'": "a tab; indent with spaces",
    "expected <block end>": "not indented like the lines above",
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

    root: yaml.Node | None

    def place(self, steps: Steps) -> str:
        """Return file and line of a value, or of what encloses it."""
        node, line = self.root, 1
        for step in steps:
            mark, node = _below(node, step)
            line = mark.start_mark.line + 1 if mark else line
        return f"{self.path}, line {line}"


def read_yaml(path: Path, setting: str) -> Document:
    """Read the YAML file that the flag `setting` names.

    Raises `UsageError` with one line that names file, line and what to do.
    """
    text = _text(path, setting)
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        value = None if root is None else loader.construct_document(root)
    except yaml.YAMLError as error:
        raise UsageError(f"{path}{_place(error, text)}: {_what(error)}") from None
    return Document(path, value, root)


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
    return quoted_unless_plain(joined.removeprefix(".")) if joined else ""


def quoted_unless_plain(text: str) -> str:
    """Return `text` as it is, or quoted where it is empty or would not stay on its line."""
    return text if text.isprintable() and text else repr(text)


def _refuse_tag(_loader: yaml.SafeLoader, node: yaml.Node) -> Never:
    _refuse(node, "tags are not supported; put a text that begins with ! in quotes")


class _Loader(yaml.SafeLoader):
    """Leaves scalars as they are written, and refuses what would be lost or changed."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's
        first: [(tag, regexp) for tag, regexp in resolvers if tag in {_NULL, _MERGE}]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    yaml_constructors = {  # noqa: RUF012 - PyYAML's
        **{tag: yaml.SafeLoader.yaml_constructors[tag] for tag in (_NULL, _TEXT, _LIST, _MAPPING)},
        None: _refuse_tag,
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._count = 0
        self._counts: dict[yaml.Node, int] = {}
        """How many values are in each."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Bound the number, and the depth: PyYAML's composer calls itself for each level."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        before = self._count
        self._depth += 1
        self._count += 1
        if self._depth > _MAX_DEPTH:
            _refuse(event, f"it is nested more than {_MAX_DEPTH} levels deep")
        node = super().compose_node(parent, index)
        if isinstance(event, yaml.AliasEvent):
            if node not in self._counts:
                _refuse(event, "an alias that contains itself")
            self._count += self._counts[node]
        elif node:
            self._counts[node] = self._count - before
        if self._count > 2 * _MAX_VALUES:  # with their keys
            _refuse(event, f"more than {_MAX_VALUES} values, aliases counted as often as used")
        self._depth -= 1
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:  # noqa: ANN401
        """Refuse repeated keys, and take each for the text that it is, but `<<`."""
        node = super().compose_mapping_node(anchor)
        keys = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                _refuse(key_node, "a key must be a single text")
            if key_node.value in keys:
                _refuse(
                    key_node,
                    f"the key {quoted_unless_plain(key_node.value)} is given twice; give it once",
                )
            keys.add(key_node.value)
            if key_node.tag != _MERGE:
                key_node.tag = _TEXT
        return node


def _below(node: yaml.Node | None, step: str | int) -> tuple[yaml.Node | None, yaml.Node | None]:
    """Return where the value at `step` begins, its key or itself, and the value."""
    if isinstance(node, yaml.MappingNode):  # own keys stand behind merged ones, and win
        pairs = ((key, value) for key, value in reversed(node.value) if key.value == step)
        return next(pairs, (None, None))
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
        return node.value[step], node.value[step]
    return None, None


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
        raise ValueError(f"the key {quoted_unless_plain(twice)} is given twice; give it once")
    return values


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")
