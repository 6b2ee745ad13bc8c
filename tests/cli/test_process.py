"""The program as a process: exit codes, and what it writes where."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import exporter

pytestmark = pytest.mark.process

IN_REGION = ("--region-id=cn-hangzhou",)


def run(
    *argv: str, environ: dict[str, str] | None = None, script: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the program with nothing but what tests need in its environment."""
    kept = ("PATH", "HOME", "PYTHONPATH", "ALIBABA_CLOUD_ECS_METADATA_DISABLED")
    base = {name: os.environ[name] for name in kept if name in os.environ}
    command = [sys.executable, "-m", "exporter", *argv]
    return subprocess.run(
        ["bash", "-c", script, *command] if script else command,
        check=False,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=30,
        env=base | (environ or {}),
    )


@pytest.mark.parametrize(
    ("argv", "environ", "line"),
    [
        ([], {}, "region-id: no region is set"),
        (["once"], {}, "region-id: no region is set"),
        (["srve"], {}, "srve: unknown command; did you mean serve?"),
        (["serve", "now"], {}, "now: serve takes no such argument"),
        (["--regionid=cn-a"], {}, "--regionid: unknown flag; did you mean --region-id?"),
        (["-x", "--region-id=cn-a"], {}, "-x: unknown flag"),
        (["demo"], {"EMR_EXPORTER_LOG_LEVEL": "x"}, "EMR_EXPORTER_LOG_LEVEL: unknown variable"),
        (["demo", "--poll.interval", "soon"], {}, "--poll.interval=soon: give a duration"),
        (["demo", "--api.endpoint=http://a.b"], {}, "--api.endpoint=http://a.b: use https"),
        (["demo", "--config.file=none.yml"], {}, "none.yml: cannot be read"),
        (["demo"], {"EMR_EXPORTER_CONFIG__FILE": "/"}, "/: cannot be read"),
        (["demo", "--output=x"], {}, "--output: only the command once takes it"),
        (["ledger", "backup", "a", "b"], {}, "b: ledger backup takes no such argument; remove"),
        (["ledger", "forget"], {}, "ledger forget: give --livy-compute-id=ID, such as emr-s"),
        (["once", "--output"], {}, "--output: give a value, such as --output=FILE"),
        (
            ["once", *IN_REGION],
            {"SSL_CERT_FILE": "/proc/none"},
            "SSL_CERT_FILE=/proc/none: No such file",
        ),
        (["once", *IN_REGION], {"SSL_CERT_FILE": "/dev/null"}, "SSL_CERT_FILE=/dev/null: it holds"),
        (["once", *IN_REGION], {"HTTPS_PROXY": "http://a:b/c@d:1"}, "HTTPS_PROXY: give the URL of"),
    ],
)
def test_invalid_usage_prints_one_line_and_exits_with_2(
    argv: list[str], environ: dict[str, str], line: str
) -> None:
    """Without a usage text or a traceback."""
    done = run(*argv, environ=environ)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {line}")
    assert done.stderr.count("\n") == 1


def test_a_misspelt_key_of_the_file_is_reported_in_one_line(tmp_path: Path) -> None:
    """With the file, the line and the key that was meant."""
    file = tmp_path / "exporter.yml"
    file.write_text("poll:\n  intervall: 1m\n")
    done = run("demo", f"--config.file={file}")
    assert done.returncode == 2
    assert done.stderr == (
        f"error: poll.intervall ({file}, line 2): unknown key; did you mean poll.interval?\n"
    )


def test_the_version_names_program_and_python() -> None:
    """As needed in a bug report."""
    done = run("--version")
    assert done.returncode == 0
    assert re.fullmatch(
        rf"emr-serverless-spark-exporter {exporter.__version__} \(.*Python 3\.\d+\.\d+\S*\)\n",
        done.stdout,
    )


def test_a_closed_pipe_prints_no_error() -> None:
    """As with `| head`."""
    done = run("metrics", script='set -o pipefail; "$0" "$@" | head -n 1')
    assert done.stdout.startswith("NAME")
    assert done.stderr == ""
    done = run("metrics", script='"$0" "$@" >&-')
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", [["config"], ["metrics"], ["--help"], ["--version"]])
def test_output_that_cannot_be_written_is_reported_in_one_line(command: list[str]) -> None:
    """Such as on a full disk."""
    done = run(*command, script='"$0" "$@" >/dev/full')
    assert (done.returncode, done.stderr) == (
        1,
        "error: the output cannot be written: No space left on device\n",
    )
    done = run(*command, script='"$0" "$@" >/dev/full 2>/dev/full')
    assert done.returncode == 1


LONG = "x" * 300
"""No file system has such a name: to look for the file is an error."""


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["ledger", "backup", "copy.db"], f"the ledger {LONG} cannot be read: File name too long"),
        (["ledger", "forget", "--livy-compute-id=lc"], f"the ledger {LONG} cannot be read: File"),
        (
            ["reconcile", *IN_REGION, "--workspace-ids=w-1", "--livy-compute-ids=lc-1"],
            f"the ledger {LONG} cannot be read: File name too long; set ledger.path",
        ),
    ],
)
def test_a_ledger_that_cannot_be_looked_for_is_one_line(argv: list[str], line: str) -> None:
    """It says what to do, and is no bug of the program."""
    done = run(*argv, f"--ledger.path={LONG}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {line}")
    assert done.stderr.count("\n") == 1


def test_a_demo_without_a_folder_for_temporary_files_says_so() -> None:
    """Such as in a container whose file system is read-only."""
    done = run("demo", "--web.listen-address=127.0.0.1:0", script='ulimit -f 0; "$0" "$@"')
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: the demo needs a folder for temporary files: No usable")
    assert done.stderr.endswith("; name one that can be written in TMPDIR\n")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_what_cannot_be_written_at_the_end_does_not_change_the_exit_code(stream: str) -> None:
    """Python would try again when it ends, and exit with 120."""
    held_back = f"import sys; from exporter.cli import output; sys.{stream}.buffer.write(b'1')"
    code = f"{held_back}; output.finish(); sys.exit(3)"
    assert run(script=f'"$0" -c "{code}" >/dev/full 2>/dev/full').returncode == 3


def test_a_closed_stderr_is_not_an_error() -> None:
    """The output is complete."""
    command = ("check", "--region-id=cn-a", "--api.endpoint=http://127.0.0.1:1")
    done = run(*command, script='"$0" "$@" 2>&-')
    assert done.returncode == 1
    assert "\nFAILED  cn-a" in done.stdout
    assert "error:" not in done.stdout
    done = run(*command, "--log.level=debug", script='"$0" "$@" >&- 2>&-')
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_variables_injected_by_kubernetes_do_not_prevent_the_start() -> None:
    """They exist beside a Service with the exporter's name."""
    injected = {
        "EMR_EXPORTER_SERVICE_HOST": "10.0.0.1",
        "EMR_EXPORTER_SERVICE_PORT": "9825",
        "EMR_EXPORTER_SERVICE_PORT_HTTP": "9825",
        "EMR_EXPORTER_PORT": "tcp://10.0.0.1:9825",
        "EMR_EXPORTER_PORT_9825_TCP": "tcp://10.0.0.1:9825",
        "EMR_EXPORTER_PORT_9825_TCP_ADDR": "10.0.0.1",
    }
    done = run("config", environ=injected)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1", "gbk"])
def test_characters_outside_the_locale_are_escaped(encoding: str) -> None:
    """A name in another script does not end the program."""
    done = run("config", "--discovery.include=队🙂", environ={"PYTHONIOENCODING": encoding})
    assert (done.returncode, done.stderr) == (0, "")
    assert r"\U0001f642" in done.stdout
