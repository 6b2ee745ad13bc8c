"""Every setting, its names and notation: `api.max-attempts`, its flag, variable and file key."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from exporter.settings.fields import Settings
from exporter.settings.notation import LIST, Notation, Unset

PREFIX = "EMR_EXPORTER_"
_M = TypeVar("_M")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, as the schema describes it."""

    path: tuple[str, ...]
    field: FieldInfo

    @property
    def name(self) -> str:
        """The name in texts: `api.max-attempts`."""
        return self.key.replace("_", "-")

    @property
    def flag(self) -> str:
        """The flag: `--api.max-attempts`."""
        return f"--{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable: `EMR_EXPORTER_API__MAX_ATTEMPTS`."""
        return PREFIX + "__".join(self.path).upper()

    @property
    def key(self) -> str:
        """The key in the file, its levels joined: `api.max_attempts`."""
        return ".".join(self.path)

    @property
    def is_list(self) -> bool:
        """Whether the value is a list of texts."""
        return self.notation is LIST

    @property
    def notation(self) -> Notation:
        """How values are written."""
        return self._marker(Notation) or _plain_notation(self.field.annotation)

    @property
    def default(self) -> str:
        """The default as the operator would write it, `empty` for an empty list."""
        value = self.field.get_default()
        return "empty" if value == () else self.write(value)

    def write(self, value: object) -> str:
        """Write `value` as the operator would."""
        if value is None:
            unset = self._marker(Unset)
            return unset.meaning if unset else "none"
        return self.notation.write(value)

    def value_in(self, settings: Settings) -> object:
        """Return the value in `settings`."""
        value: object = settings
        for step in self.path:
            value = getattr(value, step)
        return value

    def _marker(self, kind: type[_M]) -> _M | None:
        """Find what an `Annotated` carries, also inside `X | None`."""
        parts = get_args(self.field.annotation)
        inner = (item for part in parts for item in getattr(part, "__metadata__", ()))
        return next(
            (item for item in (*self.field.metadata, *inner) if isinstance(item, kind)), None
        )


@cache
def all_settings() -> Mapping[tuple[str, ...], Setting]:
    """Return every setting by its path, in the order of the schema."""
    return {path: Setting(path, field) for path, field in fields(Settings) if not group_of(field)}


def fields(
    model: type[BaseModel], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Return every field of a model by its path, each group before its fields."""
    for name, field in model.model_fields.items():
        yield (*above, name), field
        if group := group_of(field):
            yield from fields(group, (*above, name))


def group_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model of a field that is a group of fields, also inside `X | None`."""
    is_list = get_origin(field.annotation) is tuple
    for annotation in () if is_list else (field.annotation, *get_args(field.annotation)):
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return annotation
    return None


def path_of(steps: Sequence[str | int]) -> tuple[str, ...]:
    """Return the path of the setting that steps lead to or into; empty if there is none."""
    return next((path for path in all_settings() if tuple(steps[: len(path)]) == path), ())


def suggest(wrong: str, names: Iterable[str]) -> str:
    """Return advice that names the name most like `wrong`; empty if none is."""
    close = difflib.get_close_matches(wrong, list(names), n=1)
    return f"did you mean {close[0]}?" if close else ""


def _plain_notation(annotation: Any) -> Notation:  # noqa: ANN401 - annotations have no common type
    if annotation is bool:
        return Notation("true|false", lambda value: str(value).lower())
    if annotation in (int, float):
        return Notation("NUMBER", "{:.15g}".format)
    choices = (
        annotation if get_origin(annotation) is Literal else next(iter(get_args(annotation)), None)
    )
    return Notation("|".join(get_args(choices)) if get_origin(choices) is Literal else "TEXT")
