"""The ledger's database in settings: accepted as libpq reads it, and never with a secret."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import SettingsError
from exporter.settings import databases
from tests.support.budgets import examples
from tests.support.command_line import load

URL = "postgresql://emr@db.example:5432/metrics?sslmode=verify-full"
SECRET = "hunter2"


def problems(*argv: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """Return what is wrong with the settings."""
    with pytest.raises(SettingsError) as caught:
        load("serve", argv, {"EMR_EXPORTER_REGION_ID": "cn-hangzhou", **(environ or {})})
    return list(caught.value.problems)


@pytest.mark.parametrize(
    "url",
    [
        URL,
        "postgres://emr@db/metrics",
        "postgresql://",
        "postgresql:///metrics?host=%2Frun%2Fpostgresql",
        "postgresql://emr@/metrics?host=/run/postgresql&port=5433",
        "postgresql://emr@[::1]:5432/metrics",
        "postgresql://emr@a:5432,b:5433/metrics?target_session_attrs=read-write",
        "postgresql://emr%40corp@db/metrics%2F1",
        "postgresql://?service=emr&passfile=/etc/emr/pgpass&sslrootcert=/etc/emr/ca.pem",
    ],
)
def test_a_url_is_taken_as_written(url: str) -> None:
    """Hosts, sockets, several hosts, services and files are all libpq's business."""
    assert databases.parse_url(f" {url} ") == url


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://emr:{SECRET}@db/metrics",
        f"postgresql://emr:{SECRET}?#@db/metrics",
        "postgresql://emr:@db/metrics",
        f"postgresql://emr@db/metrics?sslmode=require&password={SECRET}",
        f"postgresql://emr@db/metrics?sslpassword={SECRET}",
    ],
)
def test_a_password_is_refused_with_the_places_for_it(url: str) -> None:
    """Settings are shown on pages and by commands."""
    (problem,) = problems(f"--ledger.url={url}")
    assert problem == (
        "--ledger.url: give the URL without a password, because settings are shown; put the "
        "password in PGPASSWORD, in the file of PGPASSFILE or in a service file"
    )


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("", "give a URL such as postgresql://user@host:5432/database?sslmode=verify-full"),
        ("mysql://emr@db/metrics", "give a URL such as"),
        ("db.example", "give a URL such as"),
        (f"host=db password={SECRET}", "give a URL such as"),
        (f"postgresql:emr:{SECRET}@db", "give a URL such as"),
        (f"postgresql://emr:1/{SECRET}@db/metrics", "give a URL such as"),
        (f"postgresql://emr:{SECRET}/x@db/metrics", "give a URL such as"),
        (f"postgresql://emr@corp:{SECRET}@db/metrics", "give a URL such as"),
        ("postgresql://emr@db:0/metrics", "give a URL such as"),
        ("postgresql://emr@db:65536/metrics", "give a URL such as"),
        ("postgresql://emr@db:٣/metrics", "give a URL such as"),
        ("postgresql://emr@db/my metrics", "special characters percent-encoded"),
        ("postgresql://emr@db/a%zz", "special characters percent-encoded"),
        ("postgresql://emr@db/a%00", "special characters percent-encoded"),
        ("postgresql://emr@db/a?sslmode", "give a URL such as"),
        ("postgresql://emr@db/a?sslmode=require&", "unknown parameter"),
        ("postgresql://emr@db/a?sslmode=on", "for sslmode give one of disable, allow, prefer"),
        ("postgresql://emr@db/a?sslmod=require", "unknown parameter in the URL; did you mean ssl"),
        ("postgresql://emr@db/a?options=-csearch_path%3Dx", "unknown parameter in the URL; "),
        (f"postgresql://emr@db/a?%70assword={SECRET}", "unknown parameter in the URL; "),
        (f"postgresql://emr@db/a?{SECRET}=1", "unknown parameter in the URL; give sslmode, "),
        ("postgresql://db/a?sslmode=verify-full&sslmode=disable", "has sslmode twice; give it"),
    ],
)
def test_another_url_is_refused_without_repeating_it(url: str, advice: str) -> None:
    """What looks like another part may belong to a password."""
    problem = (*problems(f"--ledger.url={url}"), "")[0]
    assert problem.startswith("--ledger.url: ")
    assert advice in problem
    assert SECRET not in problem


def test_a_wrong_url_of_a_variable_or_a_file_is_not_repeated(tmp_path: Path) -> None:
    """Wherever it stands."""
    wrong = f"host=db password={SECRET}"
    (problem,) = problems(environ={"EMR_EXPORTER_LEDGER__URL": wrong})
    assert problem.startswith("EMR_EXPORTER_LEDGER__URL: give a URL")
    file = tmp_path / "exporter.yml"
    file.write_text(f"ledger:\n  url: {wrong}\n")
    (problem,) = problems(f"--config.file={file}")
    assert problem.startswith(f"ledger.url ({file}, line 2): give a URL")
    file.write_text(f"ledger:\n  url: [{SECRET}]\n")
    assert problems(f"--config.file={file}") == [f"ledger.url ({file}, line 2): give a text"]
    file.write_text(f"ledger: {wrong}\n")
    (problem,) = problems(f"--config.file={file}")
    assert problem.startswith(f"ledger ({file}, line 1): give a mapping")


@pytest.mark.parametrize("name", ["emr_exporter", "_", "a" * 63, "emr2"])
def test_a_schema_has_a_plain_name(name: str) -> None:
    """Statements name it without quotes."""
    argv = ["--region-id=cn-a", f"--ledger.url={URL}", f"--ledger.schema={name}"]
    ledger = load("serve", argv, {}).settings.ledger
    assert (ledger.url, ledger.schema) == (URL, name)


@pytest.mark.parametrize(
    "name", ["", "Emr", "2emr", "emr-x", "pg_emr", "a" * 64, 'a"b', "ä", "a\n"]
)
def test_another_name_of_a_schema_is_refused(name: str) -> None:
    """With what to give."""
    (problem,) = problems(f"--ledger.url={URL}", f"--ledger.schema={name}")
    assert problem.endswith(
        ": give a name of up to 63 lower-case letters, digits and _ that does not begin with a "
        "digit or pg_"
    )


def test_the_ledger_is_in_one_place() -> None:
    """A file and a database exclude each other, and a schema is of a database."""
    assert problems(f"--ledger.url={URL}", "--ledger.path=ledger.db") == [
        "--ledger.url: cannot be combined with --ledger.path; remove one of them"
    ]
    environ = {"EMR_EXPORTER_LEDGER__PATH": "ledger.db"}
    assert problems(f"--ledger.url={URL}", environ=environ) == [
        "--ledger.url: cannot be combined with EMR_EXPORTER_LEDGER__PATH; remove one of them"
    ]
    assert problems("--ledger.schema=emr") == [
        "--ledger.schema: has no effect without ledger.url; remove it"
    ]


def test_without_psycopg_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a dependency of this setting only."""
    monkeypatch.setitem(sys.modules, "psycopg", None)  # what Python takes for not installed
    (problem,) = problems(f"--ledger.url={URL}")
    assert problem == (
        "--ledger.url: PostgreSQL needs psycopg: "
        "pip install 'emr-serverless-spark-exporter[postgres]'"
    )


PLAIN = st.sampled_from(["", "emr", "a.b", "[::1]", "%2Frun", "a:1", "a,b:2", "~!$'()*;+"])
ODD = st.sampled_from(
    [":", "@", "/run", "?", "#", "&", "=", " ", "é", "\\", "%", "%00", "%zz", "["]
)
TEXTS = st.one_of(PLAIN, PLAIN, ODD)
NAMES = st.sampled_from(
    ["host", "user", "service", "passfile", "password", "options", "ssl", "%70assword", ""]
)
URLS = st.builds(
    "postgresql://{}{}{}{}".format,
    st.one_of(st.just(""), TEXTS.map("{}@".format)),
    TEXTS,
    st.one_of(st.just(""), TEXTS.map("/{}".format)),
    st.one_of(st.just(""), st.builds("?{}={}".format, NAMES, TEXTS)),
)


@given(URLS)
@examples(5)
def test_libpq_reads_what_is_accepted_and_finds_no_secret(url: str) -> None:
    """A URL that is refused later than here would stop a daemon, and might be logged."""
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415 - takes long to import

    try:
        accepted = databases.parse_url(url)
    except ValueError:
        return
    found = {name for name, value in conninfo_to_dict(accepted).items() if value is not None}
    assert not found & {"password", "sslpassword", "options"}
