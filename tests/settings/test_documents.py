"""YAML files and JSON texts are read strictly; errors name the line."""

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.errors import SettingsError
from exporter.settings import Settings
from exporter.settings.documents import read_yaml
from tests.support.command_line import load

REGION = {"EMR_EXPORTER_REGION_ID": "cn-hangzhou"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Name the file of settings."""
    return tmp_path / "exporter.yml"


def loaded(file: Path, content: str) -> Settings:
    """Load a file that is good."""
    file.write_text(content, encoding="utf-8")
    return load("config", [f"--config.file={file}"], {}).settings


def refused(file: Path, content: str | bytes = b"") -> list[str]:
    """Return the lines that say what is wrong with a file."""
    if content:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(SettingsError) as caught:
        load("config", [f"--config.file={file}"], {})
    assert all(problem.isprintable() for problem in caught.value.problems)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("content", "key", "line"),
    [
        ("log: {}\nlog: {}\n", "log", 2),
        ("api:\n  timeout: 1s\n  timeout: 2s\n", "timeout", 3),
        ("targets:\n- workspace_id: w-1\n  workspace_id: w-2\n", "workspace_id", 3),
        ("targets:\n- {account: a,\n   'account': a}\n", "account", 3),
        ("api: {<<: {timeout: 1s}, timeout: 2s,\n  timeout: 3s}\n", "timeout", 2),
    ],
)
def test_a_repeated_key_is_an_error_at_every_level(
    file: Path, content: str, key: str, line: int
) -> None:
    """Neither value is dropped silently."""
    assert refused(file, content) == [
        f"{file}, line {line}: the key {key} is given twice; give it once"
    ]


@pytest.mark.parametrize("name", ["--targets", "EMR_EXPORTER_TARGETS"])
def test_a_repeated_key_in_json_is_an_error(name: str) -> None:
    """JSON in a flag or a variable is read as strictly as the file."""
    value = '[{"workspace_id": "w-1", "workspace_id": "w-2"}]'
    is_flag = name.startswith("--")
    with pytest.raises(SettingsError) as caught:
        load("serve", [f"{name}={value}"] if is_flag else [], {} if is_flag else {name: value})
    assert caught.value.problems[0].startswith(f"{name}: ")
    assert "the key workspace_id is given twice; give it once" in caught.value.problems[0]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("sessions: {max_series_sessions: off}", "=off {}: give a whole number"),
        ("api: {max_attempts: yes}", "=yes {}: give a whole number"),
        ("api: {max_attempts: true}", "=true {}: give a whole number"),
        ("api: {max_attempts: 3.0}", "=3.0 {}: give a whole number"),
        ("api: {max_attempts: 0x3}", "=0x3 {}: give a whole number"),
        ("api: {max_attempts: 0b11}", "=0b11 {}: give a whole number"),
        ("api: {max_attempts: 1_0}", "=1_0 {}: give a whole number"),
        ("api: {max_attempts: 1e1}", "=1e1 {}: give a whole number"),
        ("api: {max_attempts: 1:30}", "=1:30 {}: give a whole number"),
        ("api: {max_attempts: 2024-01-01}", "=2024-01-01 {}: give a whole number"),
        ("api: {max_attempts: [3]}", " {}: give a whole number"),
        ("api: {max_requests_per_second: yes}", "=yes {}: give a number"),
        ("api: {max_response_bytes: true}", "=true {}: give a size"),
        ("api: {max_response_bytes: 1e6}", "=1e6 {}: give a size"),
        ("api: {network: off}", "=off {}: give public or vpc"),
        ("poll: {interval: 1:30}", "=1:30 {}: give a duration"),
        ("poll: {interval: on}", "=on {}: give a duration"),
        ("poll: {interval: 0x1e}", "=0x1e {}: give a duration"),
        ("livy: {enabled: 2.0}", "=2.0 {}: give true or false"),
        ("region_id: 010", "=010 {}: give a region"),
        ("region_id: [cn-hangzhou]", " {}: give a text"),
        ("workspace_ids: {a: b}", " {}: give a list"),
        ("workspace_ids: [w-1, ~]", "[1]=None {}: give a text"),
        ("ledger: {path: [a]}", " {}: give the path of a file"),
    ],
)
def test_values_of_the_wrong_type_are_quoted_as_written(
    file: Path, content: str, problem: str
) -> None:
    """Also where YAML would convert them to a number, a date or a boolean."""
    (said,) = refused(file, content)
    assert problem.format(f"({file}, line 1)") in said


@pytest.mark.parametrize(
    "written", ["010", "0123", "yes", "no", "1e3", "0x1f", "2024-01-01", "1.10"]
)
def test_ids_are_not_converted(file: Path, written: str) -> None:
    """Ids that look like numbers, dates or booleans stay texts."""
    settings = loaded(
        file,
        f"targets: [{{workspace_id: {written}, account: {written}}}]\n"
        f"discovery: {{include: [{written}]}}\nledger: {{path: {written}}}\n",
    )
    assert settings.targets[0].workspace_id == settings.targets[0].account == written
    assert settings.discovery.include == (written,)
    assert str(settings.ledger.path) == written


def test_numbers_in_a_file_are_decimal_as_in_variables(file: Path) -> None:
    """YAML 1.1 would read 010 as octal."""
    settings = loaded(file, "api: {max_attempts: 010}\npoll: {interval: 0100}\nlog: {level: ~}\n")
    assert (settings.api.max_attempts, settings.poll.interval) == (10, 100.0)
    variables = {"EMR_EXPORTER_API__MAX_ATTEMPTS": "010", "EMR_EXPORTER_POLL__INTERVAL": "0100"}
    assert load("serve", [], REGION | variables).settings.api == settings.api


@pytest.mark.parametrize(
    "value", ['[{"workspace_id": 1}]', '[{"workspace_id": 1.5}]', '[{"workspace_id": true}]']
)
def test_json_numbers_are_not_accepted_as_texts(value: str) -> None:
    """A text in JSON has quotes."""
    with pytest.raises(SettingsError, match=r"targets\[0\]\.workspace_id=.*: give a text"):
        load("serve", [f"--targets={value}"], REGION)


@pytest.mark.parametrize("flag", ["--targets", "--workspace-ids"])
@pytest.mark.parametrize(
    "value", ["[" * 100_000, '[{"a":' * 100_000, f"[{'9' * 5000}]", "[NaN]", "[1e999999]"]
)
def test_malformed_json_is_an_error(flag: str, value: str) -> None:
    """However deep or long it is."""
    with pytest.raises(SettingsError) as caught:
        load("serve", [f"{flag}={value}"], REGION)
    assert caught.value.problems[0].startswith(flag)
    assert len(caught.value.problems[0]) < 300


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ('"": 1', "''"),
        ('"a\\e[31m": 1', r"'a\x1b[31m'"),
        ('targets: [{"a\\nb": 1}]', r"'targets[0].a\nb'"),
    ],
)
def test_an_unprintable_key_is_quoted(file: Path, content: str, name: str) -> None:
    """Escape sequences do not reach the terminal, and no key starts a new line."""
    assert refused(file, content) == [f"{name} ({file}, line 1): unknown key; remove it"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(
            "- a\n" * 200_000,
            ", line 100000: more than 50000 values",
            marks=pytest.mark.soak,  # 2 s; the same count as of aliases, below
        ),
        ("a: " + "[" * 3000 + "]" * 3000, ", line 1: it is nested more than 20"),
        ("- " * 3000 + "a", ", line 1: it is nested more than 20"),
        ("a: &a [*a]", ", line 1: an alias that contains itself"),
        (b"region_id: cn-hangzhou\nlog: \xff\xfe", ", line 2: not UTF-8; save the file as UTF-8"),
        ("log: {level: info}".encode("utf-16"), ", line 1: not UTF-8; save the file as UTF-8"),
        (b"log:\n  level: a\x00b", ", line 2: invalid YAML: special characters are not allowed"),
        (b"# " + b"x" * 2**20, ": larger than 1 MiB; name a smaller file with --config.file"),
        ("poll:\n\tinterval: 1m\n", ", line 2: invalid YAML: a tab; indent with spaces"),
        ("poll:\n  interval: 1m\n timeout: 3s", ", line 3: invalid YAML: not indented like the"),
        ("? [a]\n: b\n", ", line 1: a key must be a single text"),
        (
            "a: {<<: b}",
            ", line 1: invalid YAML: expected a mapping or list of mappings for merging",
        ),
        ("log: *geheim", ", line 1: invalid YAML: undefined alias; put a text that begins with *"),
        ("log: !geheim!x y", ", line 1: invalid YAML: undefined tag; put a text that begins with"),
    ],
    ids=range(14),
)
def test_an_unreadable_file_is_reported_with_the_line(
    file: Path, content: str | bytes, problem: str
) -> None:
    """In one line, without any content of the file, which may be secret."""
    (said,) = refused(file, content)
    assert said.startswith(f"{file}{problem}")
    assert "geheim" not in said


@pytest.mark.parametrize("content", ["log: !geheim y", "log: !!binary aGk=", "log: !!set {a}"])
def test_tags_are_refused(file: Path, content: str) -> None:
    """A tag would convert a value."""
    assert refused(file, content) == [
        f"{file}, line 1: tags are not supported; put a text that begins with ! in quotes"
    ]


def test_aliases_count_towards_the_limit_of_values(file: Path) -> None:
    """A few hundred bytes could stand for billions of values."""
    levels = [
        f"l{number}: &l{number} [{', '.join([f'*l{number - 1}'] * 10)}]" for number in range(1, 10)
    ]
    began = time.monotonic()
    (said,) = refused(file, "\n".join(["l0: &l0 [x]", *levels]))
    assert ": more than 50000 values, aliases counted as often as used" in said
    assert time.monotonic() - began < 10


def test_merged_keys_count_towards_the_limit_of_values(file: Path) -> None:
    """Each line multiplies the keys of the line before by ten."""
    first = "l0: &l0 {" + ", ".join(f"k{number}: x" for number in range(100)) + "}"
    levels = [
        f"l{number}: &l{number} {{<<: [{', '.join([f'*l{number - 1}'] * 10)}]}}"
        for number in range(1, 10)
    ]
    (said,) = refused(file, "\n".join([first, *levels]))
    assert said.startswith(f"{file}, line 4: more than 50000 values")


def test_a_number_of_5000_digits_is_an_invalid_value(file: Path) -> None:
    """Python refuses to convert such a number."""
    digits = "9" * 5000
    lines = refused(
        file,
        f"api: {{max_attempts: {digits}, timeout: {digits}, max_response_bytes: {digits},\n"
        f"  max_requests_per_second: {digits}}}\nregion_id: {digits}\n",
    )
    assert [line.partition("=")[0] for line in lines] == [
        "region_id",
        "api.timeout",
        "api.max_attempts",
        "api.max_requests_per_second",
        "api.max_response_bytes",
    ]
    assert max(map(len, lines)) < 300


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (_fifo, "not a regular file; name one with --config.file"),
        (Path.mkdir, "cannot be read: Is a directory; see --config.file"),
        (_socket, "cannot be read: No such device or address; see --config.file"),
        (lambda path: path.symlink_to("/dev/zero"), "not a regular file; name one with"),
        (lambda path: path.symlink_to(path), "cannot be read: Too many levels of symbolic links"),
    ],
    ids=["fifo", "directory", "socket", "device", "loop"],
)
def test_anything_but_a_regular_file_is_refused(
    file: Path, make: Callable[[Path], object], problem: str
) -> None:
    """Opening a FIFO would block, and reading a device would never end."""
    make(file)
    (said,) = refused(file)
    assert said.startswith(f"{file}: {problem}")


def test_a_byte_order_mark_is_ignored(file: Path) -> None:
    """Some editors write one."""
    assert loaded(file, "\ufeffpoll: {interval: 45}\n").poll.interval == 45


def test_aliases_and_merged_keys_are_supported(file: Path) -> None:
    """A mapping's own keys override merged ones; of several merged ones, the first wins."""
    file.write_text(
        "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], x: 3}\nd: {x: 4, <<: *a}\n"
    )
    document = read_yaml(file, "--config.file")
    assert document.value["c"] == {"x": "3", "y": "1", "z": "2"}
    assert document.value["d"] == {"x": "4", "y": "1"}


def test_keys_are_not_converted(file: Path) -> None:
    """Also those that look like booleans or numbers."""
    file.write_text("yes: a\n0123: b\n1:30: c\n")
    document = read_yaml(file, "--config.file")
    assert document.value == {"yes": "a", "0123": "b", "1:30": "c"}
    places = [document.place(steps) for steps in ((), ("yes",), ("0123",), ("1:30",))]
    assert places == [f"{file}, line {line}" for line in (1, 1, 2, 3)]


def test_a_large_file_within_the_limits_is_read(file: Path) -> None:
    """It may list thousands of targets."""
    entries = [{"workspace_id": f"w-{number}", "region_id": "cn-a"} for number in range(5000)]
    file.write_text(f"targets: {json.dumps(entries)}")
    document = read_yaml(file, "--config.file")
    assert len(document.value["targets"]) == 5000
