"""PostgreSQL in settings: the URL of a database as libpq reads it, and the name of a schema."""

import re
from difflib import get_close_matches
from urllib.parse import unquote

_URL = re.compile(
    r"postgres(?:ql)?://(?:(?P<user>[^@/]*)@)?(?P<hosts>[^@/?]*)"
    r"(?:/(?P<database>[^@/?]*))?(?:\?(?P<parameters>.*))?"
)
"""The parts as libpq divides them: a user name ends at the first `@`, if no `/` is before it."""

_CHARACTER = r"(?:[A-Za-z0-9._~!$'()*+;-]|%(?!00)[0-9A-Fa-f]{2})"
_PLAIN = re.compile(rf"{_CHARACTER}*")
_HOST = re.compile(rf"(?:\[[0-9A-Fa-f:.]+\]|{_CHARACTER}*)(?::(?P<port>[0-9]{{1,5}}))?")
_VALUE = re.compile(rf"(?:{_CHARACTER}|[/:@,])*")
_LAST_PORT = 65535

_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_PARAMETERS = (
    *("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "sslcrldir", "sslsni"),
    *("ssl_min_protocol_version", "ssl_max_protocol_version", "channel_binding", "gssencmode"),
    *("host", "hostaddr", "port", "user", "dbname", "passfile", "service", "application_name"),
    *("krbsrvname", "requirepeer", "target_session_attrs", "tcp_user_timeout"),
    *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
)
"""What libpq knows, without secrets, limits that the ledger sets itself, and `options`, which a
pooler refuses."""

_SECRETS = ("password", "sslpassword")

_SCHEMA = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}")

_ADVICE = (
    "give a URL such as postgresql://user@host:5432/database?sslmode=verify-full, special"
    " characters percent-encoded"
)
_WITHOUT_SECRETS = (
    "give the URL without a password, because settings are shown; put the password in PGPASSWORD,"
    " in the file of PGPASSFILE or in a service file"
)


def parse_url(text: str) -> str:
    """Check the URL and return it. Raises `ValueError` that says what to give.

    The message repeats no part of the URL: with a password in it, any part may belong to that.
    """
    url = text.strip()
    parts = _URL.fullmatch(url)
    if parts is None:
        raise ValueError(_ADVICE)
    user, database = parts["user"] or "", parts["database"] or ""
    if ":" in user:
        raise ValueError(_WITHOUT_SECRETS)
    if not all(map(_is_host, parts["hosts"].split(","))):
        raise ValueError(_ADVICE)
    if not (_PLAIN.fullmatch(user) and _PLAIN.fullmatch(database)):
        raise ValueError(_ADVICE)
    _check_parameters(parts["parameters"] or "")
    return url


def parse_schema(name: str) -> str:
    """Check the name of a schema and return it. Raises `ValueError` that says what to give."""
    if not _SCHEMA.fullmatch(name):
        raise ValueError(
            "give a name of up to 63 lower-case letters, digits and _ that does not begin with a "
            "digit or pg_"
        )
    return name


def _is_host(text: str) -> bool:
    host = _HOST.fullmatch(text)
    return host is not None and 0 < int(host["port"] or 1) <= _LAST_PORT


def _check_parameters(text: str) -> None:
    given: set[str] = set()
    for parameter in text.split("&") if text else ():
        name, separator, value = parameter.partition("=")
        if name in _SECRETS:
            raise ValueError(_WITHOUT_SECRETS)
        if name not in _PARAMETERS:
            close = get_close_matches(name, _PARAMETERS, n=1)
            known = f"did you mean {close[0]}?" if close else f"give {', '.join(_PARAMETERS)}"
            raise ValueError(f"unknown parameter in the URL; {known}")
        if name in given:
            raise ValueError(f"the URL has {name} twice; give it once")
        if not (separator and _VALUE.fullmatch(value)):
            raise ValueError(_ADVICE)
        if name == "sslmode" and unquote(value) not in _MODES:
            raise ValueError(f"for sslmode give one of {', '.join(_MODES)}")
        given.add(name)
