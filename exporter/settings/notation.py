"""Types of settings with a notation of their own.

Each carries a `Notation`, so that whatever shows a setting writes it as people would.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Le
from pydantic import AfterValidator, BeforeValidator, StringConstraints
from pydantic_settings import NoDecode

from exporter.settings import databases, durations, endpoints, listen, lists, sizes
from exporter.settings.documents import read_json

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")
_MOST_DIGITS = 15

_URL = re.compile(r"^\s*[a-z][a-z0-9+.-]*:/|://|\bpassword\s*=", re.IGNORECASE)
"""A URL, also one that lost a slash, or a connection string of libpq with a password."""

_URL_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/-]+")
"""Characters that need no encoding in a request, and mean nothing to the router."""


@dataclass(frozen=True, slots=True)
class Notation:
    """How the values of a setting are written."""

    word: str
    """Stands for the value in the help."""

    write: Callable[[Any], str] = str

    is_quoted: bool = True
    """Whether an error may repeat a wrong value, which may hold a password where it is wrong."""


@dataclass(frozen=True, slots=True)
class Unset:
    """The meaning of a setting that was not given; shown in place of its default."""

    meaning: str


def _whole_number(value: object) -> int:
    """Read digits only: pydantic would take `3.0`, `1_0` and `true` as well."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str) or not _WHOLE_NUMBER.fullmatch(value.strip()):
        raise ValueError("give a whole number")
    if len(value) > _MOST_DIGITS:
        raise ValueError(f"give a whole number of at most {_MOST_DIGITS} digits")
    return int(value)


def _check_number(value: object) -> object:
    if isinstance(value, str) and "_" in value:  # which pydantic would pass over
        raise ValueError("give a number")
    return value


def _check_listen_address(text: str) -> str:
    return str(listen.parse(text))


def _check_telemetry_path(path: str) -> str:
    if not _URL_PATH.fullmatch(path) or path.startswith(("/-/", "/api/")):
        raise ValueError(
            "give a path such as /metrics, without a query; /, /-/ and /api/ are reserved"
        )
    return path


def check_file_path(path: object) -> object:
    """Return the path; raise `ValueError` for what may be anything else, also a secret."""
    if not isinstance(path, str):
        return path
    if _URL.search(path):
        raise ValueError("give the path of a file; a database is given by ledger.url")
    if not path.strip() or set(path) & {"\0", "\n"} or path.startswith("--"):
        raise ValueError("give the path of a file")
    return path


def _check_unique(items: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted(item for item, times in Counter(items).items() if times > 1)
    if twice:
        raise ValueError(f"{', '.join(twice)} is listed twice; list it once")
    return items


def _read_json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return read_json(value)
    except ValueError as error:
        raise ValueError(
            f"give a list of mappings, in YAML or JSON; invalid JSON: {error}"
        ) from None


_DURATION = Notation("DURATION", durations.write)
LIST = Notation("A,B", lists.write)

Duration = Annotated[float, BeforeValidator(durations.parse), _DURATION]
"""Seconds, more than 0."""

Interval = Annotated[float, BeforeValidator(durations.parse), Ge(1), _DURATION]
"""Seconds, at least 1: what repeats must not run hot."""

Size = Annotated[
    int, BeforeValidator(sizes.parse), Ge(2**10), Le(2**40), Notation("SIZE", sizes.write)
]
"""Bytes, 1 KiB to 1 TiB."""

Number = Annotated[float, BeforeValidator(_check_number)]

WholeNumber = Annotated[int, BeforeValidator(_whole_number)]

Texts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(lists.parse), LIST]

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=128)]
"""An id of the API; it becomes part of a URL's path."""

Ids = Annotated[
    tuple[Id, ...], NoDecode, BeforeValidator(lists.parse), AfterValidator(_check_unique), LIST
]

RegionId = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[a-z0-9]+)+$", max_length=64)]
"""A region such as `cn-hangzhou`; it becomes part of a host name."""

Endpoint = Annotated[str, AfterValidator(endpoints.parse), Notation("URL")]

DatabaseUrl = Annotated[str, AfterValidator(databases.parse_url), Notation("URL", is_quoted=False)]

SchemaName = Annotated[str, AfterValidator(databases.parse_schema), Notation("NAME")]

ListenAddress = Annotated[str, AfterValidator(_check_listen_address), Notation("HOST:PORT")]

FilePath = Annotated[Path, BeforeValidator(check_file_path), Notation("FILE")]

UrlPath = Annotated[str, AfterValidator(_check_telemetry_path), Notation("PATH")]

FromJson = BeforeValidator(_read_json)
"""For lists of objects: JSON where they are given as one text."""
