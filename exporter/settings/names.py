"""What each setting is called: `api.max-attempts`, its flag, its variable, its key in the file."""

import difflib
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from exporter.settings.notation import LIST, Notation, Unset
from exporter.settings.schema import Settings

PREFIX = "EMR_EXPORTER_"
_M = TypeVar("_M")
_CLOSE = 0.55
"""Likeness from which a known name is worth naming."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, as the schema describes it."""

    path: tuple[str, ...]
    field: FieldInfo

    @property
    def name(self) -> str:
        """Give the name in texts: `api.max-attempts`."""
        return self.key.replace("_", "-")

    @property
    def flag(self) -> str:
        """Give the flag: `--api.max-attempts`."""
        return f"--{self.name}"

    @property
    def variable(self) -> str:
        """Give the variable: `EMR_EXPORTER_API__MAX_ATTEMPTS`."""
        return PREFIX + "__".join(self.path).upper()

    @property
    def key(self) -> str:
        """Give the key in the file, its levels joined: `api.max_attempts`."""
        return ".".join(self.path)

    @property
    def is_secret(self) -> bool:
        """Tell whether the value must never be shown."""
        annotation = self.field.annotation
        return SecretStr in (annotation, *get_args(annotation))

    @property
    def is_list(self) -> bool:
        """Tell whether the value is a list of texts."""
        return self.notation.word == LIST.word

    @property
    def notation(self) -> Notation:
        """Give how values are written."""
        return _marker(self.field, Notation) or _plain_notation(self.field.annotation)

    def write(self, value: object) -> str:
        """Write `value` as the operator would; secrets are masked."""
        if value is None:
            unset = _marker(self.field, Unset)
            return unset.meaning if unset else "none"
        return "********" if self.is_secret else self.notation.write(value)

    @property
    def default(self) -> str:
        """Give the default as the operator would write it, `empty` for an empty list."""
        value = self.field.get_default()
        return "empty" if value == () else self.write(value)

    def value_in(self, settings: Settings) -> object:
        """Give the value that `settings` hold."""
        value: object = settings
        for step in self.path:
            value = getattr(value, step)
        return value


@cache
def known() -> Mapping[tuple[str, ...], Setting]:
    """Give every setting by its path, in the order of the schema."""
    return {setting.path: setting for setting in _walk(Settings, ())}


def nearest(wrong: str, names: Iterable[str]) -> str:
    """Give advice that names the known name most like `wrong`; empty where none is."""
    close = difflib.get_close_matches(wrong, list(names), n=1, cutoff=_CLOSE)
    return f"did you mean {close[0]}?" if close else ""


def _walk(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[Setting]:
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _walk(annotation, (*path, name))
        else:
            yield Setting((*path, name), field)


def _marker(field: FieldInfo, kind: type[_M]) -> _M | None:
    """Find what an `Annotated` carries, also inside `X | None`."""
    inner = (item for part in get_args(field.annotation) for item in _metadata(part))
    return next((item for item in (*field.metadata, *inner) if isinstance(item, kind)), None)


def _metadata(annotation: Any) -> tuple[Any, ...]:  # noqa: ANN401 - a type's parts have no type
    return tuple(getattr(annotation, "__metadata__", ()))


def _plain_notation(annotation: object) -> Notation:
    if annotation is bool:
        return Notation("true|false", lambda value: str(value).lower())
    if annotation in (int, float):
        return Notation("NUMBER", "{:.15g}".format)
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = get_args(annotation)[0]
    is_choice = get_origin(annotation) is Literal
    return Notation("|".join(get_args(annotation)) if is_choice else "TEXT")
