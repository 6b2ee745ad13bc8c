"""Each invalid setting is reported in one line that says what to do."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from exporter.errors import SettingsError
from tests.support.command_line import load

REGION = {"EMR_EXPORTER_REGION_ID": "cn-hangzhou"}


def problems(argv: Sequence[str] = (), environ: Mapping[str, str] = REGION) -> list[str]:
    """Return what is said to be wrong, each in one line."""
    with pytest.raises(SettingsError) as caught:
        load("serve", argv, environ)
    assert all(problem.isprintable() for problem in caught.value.problems)
    return list(caught.value.problems)


def in_file(tmp_path: Path, content: str) -> tuple[Path, list[str]]:
    """Return what is said to be wrong with a file."""
    file = tmp_path / "exporter.yml"
    file.write_text(content)
    return file, problems([f"--config.file={file}"])


def test_a_missing_region_is_reported() -> None:
    """The message names both ways to give one."""
    assert problems(environ={}) == [
        "region-id: no region is set; set --region-id=cn-hangzhou or EMR_EXPORTER_REGION_ID"
    ]


@pytest.mark.parametrize(
    ("flag", "line"),
    [
        ("--api.max-atempts=3", "unknown flag; did you mean --api.max-attempts?"),
        ("--api.max_attempts=3", "unknown flag; did you mean --api.max-attempts?"),
        ("--max-attempts=3", "unknown flag; did you mean --api.max-attempts?"),
        ("--region=cn-hangzhou", "unknown flag; did you mean --region-id?"),
        ("--zzz=1", "unknown flag; see --help for all flags"),
        ("--api={}", "unknown flag; see --help for all flags"),
    ],
)
def test_an_unknown_flag_suggests_the_nearest(flag: str, line: str) -> None:
    """A typo is corrected."""
    assert problems([flag]) == [f"{flag.partition('=')[0]}: {line}"]


def test_a_flag_without_a_value_says_what_it_takes() -> None:
    """The flag that follows is not read as its value."""
    (problem,) = problems(["--api.timeout", "--ledger.path"])
    assert problem.startswith("--api.timeout=--ledger.path: give a duration")
    (problem,) = problems(["--ledger.path", "--region-id=cn-hangzhou"])
    assert problem == "--ledger.path=--region-id=cn-hangzhou: give the path of a file"


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("EMR_EXPORTER_POLL_INTERVAL", "EMR_EXPORTER_POLL__INTERVAL"),
        ("EMR_EXPORTER_REGION", "EMR_EXPORTER_REGION_ID"),
        ("EMR_EXPORTER_LEGDER__PATH", "EMR_EXPORTER_LEDGER__PATH"),
        ("emr_exporter_region_id", "EMR_EXPORTER_REGION_ID"),
        ("Emr_Exporter_Poll__Interval", "EMR_EXPORTER_POLL__INTERVAL"),
    ],
)
def test_an_unknown_variable_suggests_the_nearest(variable: str, nearest: str) -> None:
    """A typo is corrected."""
    (problem,) = problems(environ=REGION | {variable: "x"})
    assert problem == f"{variable}: unknown variable; did you mean {nearest}?"


def test_without_a_similar_variable_the_advice_is_to_unset_it() -> None:
    """No suggestion is made."""
    (problem,) = problems(environ=REGION | {"EMR_EXPORTER_ZZZ": "x"})
    assert problem == "EMR_EXPORTER_ZZZ: unknown variable; unset it"


def test_values_of_unknown_settings_are_not_repeated(tmp_path: Path) -> None:
    """They may be secrets."""
    file = tmp_path / "exporter.yml"
    file.write_text("access_key_secret: geheim\ntargets: [{access_key_secret: geheim}]\n")
    argv = [f"--config.file={file}", "--secret=geheim"]
    lines = problems(argv, REGION | {"EMR_EXPORTER_ACCESS_KEY_SECRET": "geheim"})
    assert len(lines) == 4
    assert "geheim" not in "".join(lines)


@pytest.mark.parametrize(
    ("content", "name", "line", "what"),
    [
        ("api:\n  max_atempts: 3\n", "api.max_atempts", 2, "did you mean api.max_attempts?"),
        ("pol:\n  interval: 3\n", "pol", 1, "did you mean poll?"),
        ("poll: {stale-after: 5m}\n", "poll.stale-after", 1, "did you mean poll.stale_after?"),
        ("config: {file: x}\n", "config", 1, "only a flag or a variable names the file; remove it"),
        ("api.timeout: 3s\n", "api.timeout", 1, "unknown key; nest it: api: {timeout: ...}"),
        (
            "log: {}\nweb: {config.file: x}\n",
            "web.config.file",
            2,
            "nest it: web: {config: {file: ...}}",
        ),
        ("api.max-attempts: 3\n", "api.max-attempts", 1, "nest it: api: {max_attempts: ...}"),
        ("zzz: 1\n", "zzz", 1, "unknown key; remove it"),
        ("log: {level: debug}\nLog: {level: info}\n", "Log", 2, "unknown key; did you mean log?"),
        ("log: 3\n", "log=3", 1, "give a mapping of keys such as log.level"),
        ("\npoll:\n  interval: soon\n", "poll.interval=soon", 3, "give a duration such as 30s"),
        ("api: {endpoint: 12}\n", "api.endpoint=12", 1, "give a URL such as"),
        ("livy: {enabled: 3}\n", "livy.enabled=3", 1, "give true or false"),
        ("targets: [{x: 1}]\n", "targets[0].x", 1, "unknown key; remove it"),
        ("log: {level: 2024-99-99}\n", "log.level=2024-99-99", 1, "give debug, info"),
        ("workspace_ids: [w, 0x_/]\n", "workspace_ids[1]=0x_/", 1, "give an id of letters"),
        (f"api: {{timeout: {'9' * 400}}}\n", f"api.timeout={'9' * 60}…", 1, "at most 36500d"),
        (f"api: {{timeout: -{'9' * 400}}}\n", f"api.timeout=-{'9' * 59}…", 1, "give a duration"),
        ('ledger: {path: "a\\0b"}\n', "ledger.path='a\\x00b'", 1, "give the path of a file"),
        (
            'targets: [{account: "a\\0"}]\n',
            "targets[0].account='a\\x00'",
            1,
            "give a name in one line",
        ),
        ('web: {config: {file: ""}}\n', "web.config.file=''", 1, "give the path of a file"),
    ],
)
def test_errors_in_the_file_name_the_line(
    tmp_path: Path, content: str, name: str, line: int, what: str
) -> None:
    """For every unknown key and every invalid value."""
    file, (problem,) = in_file(tmp_path, content)
    assert problem.startswith(f"{name} ({file}, line {line}): ")
    assert what in problem


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("- a\n- b\n", ", line 1: give a mapping of settings, such as `poll:`"),
        ("just text", ", line 1: give a mapping of settings, such as `poll:`"),
        ("a: [\nb: c\n", ", line 3: invalid YAML: expected ',' or ']'"),
        ("a: b: c\n", ", line 1: invalid YAML: mapping values are not allowed here"),
        ("a: \x07\n", ", line 1: invalid YAML: special characters are not allowed"),
        ("a: 1\n---\nb: 2\n", ", line 2: invalid YAML: but found another document"),
    ],
)
def test_invalid_yaml_is_reported_with_the_line(tmp_path: Path, content: str, problem: str) -> None:
    """A file that is not a mapping as well."""
    file, (said,) = in_file(tmp_path, content)
    assert said.startswith(f"{file}{problem}")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """If it was named in a flag or variable."""
    missing = tmp_path / "none.yml"
    assert problems([f"--config.file={missing}"]) == [
        f"{missing}: cannot be read: No such file or directory; see --config.file"
    ]


def test_a_directory_is_not_accepted_as_a_file(tmp_path: Path) -> None:
    """The error names the path."""
    assert problems([f"--config.file={tmp_path}"]) == [
        f"{tmp_path}: cannot be read: Is a directory; see --config.file"
    ]


def test_a_file_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    """Other encodings are not guessed."""
    file = tmp_path / "exporter.yml"
    file.write_bytes(b"region_id: \xff\xfe")
    assert problems([f"--config.file={file}"]) == [
        f"{file}, line 1: not UTF-8; save the file as UTF-8"
    ]


@pytest.mark.parametrize(
    ("flag", "advice"),
    [
        ("--poll.interval=10ms", "give at least 1s"),
        ("--poll.interval=0", "give a duration of more than 0"),
        ("--api.timeout=-5s", "give a duration such as"),
        ("--api.max-attempts=0", "give at least 1"),
        ("--api.max-attempts=99", "give at most 20"),
        ("--api.max-attempts=3.5", "give a whole number"),
        ("--api.max-requests-per-second=0", "give more than 0"),
        ("--api.max-requests-per-second=1_0", "give a number"),
        ("--api.max-requests-per-second=nan", "give "),
        ("--api.max-response-bytes=1B", "give at least 1KiB"),
        ("--demo.speed=1e-5", "give at least 0.001"),
        ("--api.network=vpn", "give public or vpc"),
        ("--api.endpoint=http://emr.example.com", "use https; plain http is allowed to loopback"),
        ("--livy.enabled=maybe", "give true or false"),
        ("--log.level=loud", "give debug, info, warning or error"),
        ("--web.listen-address=9825", "give HOST:PORT such as"),
        ("--web.telemetry-path=metrics", "give a path such as /metrics"),
        ("--web.telemetry-path=/-/ready", "give a path such as /metrics"),
        ("--web.telemetry-path=/metrics?name=x", "give a path such as /metrics"),
        ("--web.telemetry-path=/my metrics", "give a path such as /metrics"),
        ("--ledger.path=", "give the path of a file"),
        ("--config.file=", "give the path of a file"),
        ("--ledger.path= ", "give the path of a file"),
        ("--region-id=hangzhou/x", "give a region such as cn-hangzhou"),
        ("--region-id=", "give a region such as cn-hangzhou"),
        ("--workspace-ids=w-1,../x", "give an id of letters, digits, - _ ."),
        ("--workspace-ids=w-1,w-1", "w-1 is listed twice; list it once"),
    ],
)
def test_an_invalid_value_is_quoted_with_what_to_give(flag: str, advice: str) -> None:
    """Under the name of its flag."""
    (problem,) = problems([flag])
    name, _, value = flag.partition("=")
    assert problem.startswith(name)
    assert value.split(",")[-1] in problem
    assert f": {advice}" in problem


def test_an_invalid_variable_is_reported_by_its_own_name() -> None:
    """Not by the flag of the same setting."""
    (problem,) = problems(environ=REGION | {"EMR_EXPORTER_API__MAX_ATTEMPTS": "many"})
    assert problem == "EMR_EXPORTER_API__MAX_ATTEMPTS=many: give a whole number"


def test_the_source_that_takes_precedence_is_reported() -> None:
    """An invalid flag is an error although the variable is valid."""
    (problem,) = problems(["--poll.interval=x"], REGION | {"EMR_EXPORTER_POLL__INTERVAL": "1m"})
    assert problem.startswith("--poll.interval=x:")


def test_all_errors_are_reported_at_once() -> None:
    """The operator does not have to fix them one by one."""
    lines = problems(["--nope=1", "--api.timeout=x"], {"EMR_EXPORTER_NOPE": "1"})
    assert [line.split("=")[0].split(":")[0] for line in lines] == [
        "--nope",
        "EMR_EXPORTER_NOPE",
        "--api.timeout",
    ]


@pytest.mark.parametrize(
    ("argv", "environ"),
    [(["--\x1b[31m=1"], {}), (["\x1b[31m\n"], {}), ([], {"EMR_EXPORTER_\x1b[31m\n": "1"})],
)
def test_unprintable_names_stay_on_one_line(argv: list[str], environ: dict[str, str]) -> None:
    """They are escaped as values are."""
    (problem,) = problems(argv, REGION | environ)
    assert r"\x1b[31m" in problem


def test_unprintable_values_stay_on_one_line() -> None:
    """Newlines and escape sequences are escaped; long values are cut."""
    (problem,) = problems(["--poll.interval=1\n\x1b[31m" + "x" * 500])
    assert "1\\n\\x1b[31m" in problem
    assert len(problem) < 250


def test_a_password_in_a_url_is_not_repeated() -> None:
    """It is left out of the error."""
    (problem,) = problems(["--api.endpoint=https://key:geheim@emr.example.com"])
    assert problem == (
        "--api.endpoint: give a URL without user name and password; requests are signed"
    )


@pytest.mark.parametrize(
    "value",
    [
        "postgresql://emr:geheim@db/x",
        "postgresql:/emr:geheim@db/x",
        "postgres://db/x?key=geheim",
        " POSTGRESQL://geheim@db",
        "host=db password=geheim",
        "host=db password = 'geheim'",
    ],
)
@pytest.mark.parametrize("name", ["ledger.path", "web.config.file", "config.file"])
def test_a_database_is_not_accepted_as_a_file(name: str, value: str) -> None:
    """The error says where it belongs, and repeats nothing of it."""
    assert problems([f"--{name}={value}"]) == [
        f"--{name}: give the path of a file; a database is given by ledger.url"
    ]


@pytest.mark.parametrize("path", ["/data/a@b.db", "x:y.db", "/mnt/c:/x.db", "passwords.db"])
def test_an_unusual_name_of_a_file_is_accepted(path: str) -> None:
    """Only what can be no path is refused."""
    assert load("serve", [f"--ledger.path={path}"], REGION).settings.ledger.path == Path(path)


@pytest.mark.parametrize(
    "flag",
    [
        "--api.endpoint=ann:geheim@emr.example.com",
        "--api.endpoint=geheim@emr.example.com",
        "--web.listen-address=ann:geheim@localhost",
        "--web.telemetry-path=ann:geheim@localhost/metrics",
        "--region-id=Password=geheim",
        "--workspace-ids=ann:geheim@host",
        "--api.timeout=token geheim",
        "--poll.interval=-----BEGIN PRIVATE KEY-----geheim",
    ],
)
def test_a_wrong_value_that_may_hold_a_secret_is_not_repeated(flag: str) -> None:
    """With or without the scheme of a URL."""
    (problem,) = problems([flag])
    assert problem.startswith(flag.partition("=")[0])
    assert ": give " in problem
    assert "geheim" not in problem
