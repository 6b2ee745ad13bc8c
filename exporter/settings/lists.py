"""Lists of texts as people write them: `a,b`, or JSON where an item holds a comma."""

import json
import re
from collections.abc import Sequence

from exporter.settings.documents import read_json

_BEGINS_LIKE_JSON = re.compile(r'\[\s*("|$)')
"""A pattern such as `[ab]*` begins with a bracket, too, and is not JSON."""


def parse(value: object) -> object:
    """Read a text, or the texts of a flag that is repeated; other values are for the schema.

    Raises `ValueError` that says what to give.
    """
    if isinstance(value, tuple) and all(isinstance(text, str) for text in value):
        return tuple(item for text in value for item in _items(text))
    return _items(value) if isinstance(value, str) else value


def _items(text: str) -> tuple[str, ...]:
    text = text.strip()
    items = _from_json(text)
    if items is not None:
        return items
    return tuple(item for item in (part.strip() for part in text.split(",")) if item)


def write(items: Sequence[str]) -> str:
    """Write `items` as `parse` reads them: `a,b` where that is possible, else JSON."""
    if all(item and item == item.strip() and not set(item) & {",", "["} for item in items):
        return ",".join(items)
    return json.dumps(list(items), ensure_ascii=False)


def _from_json(text: str) -> tuple[str, ...] | None:
    if not text.startswith("["):
        return None
    try:
        items = read_json(text)
    except ValueError:
        items = None
    if isinstance(items, list) and all(isinstance(item, str) for item in items):
        return tuple(items)
    if _BEGINS_LIKE_JSON.match(text):
        raise ValueError('give a list such as a,b or ["a", "b"]')
    return None
