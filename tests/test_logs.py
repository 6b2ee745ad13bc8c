"""Logging: one line for each event, whoever logs it."""

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest
import structlog

from exporter import logs


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Leave logging as it was found."""
    root, ours = logging.getLogger(), logging.getLogger(logs.PACKAGE)
    handlers, level, raises = root.handlers[:], root.level, logging.raiseExceptions
    hooks = threading.excepthook, sys.unraisablehook
    yield
    threading.excepthook, sys.unraisablehook = hooks
    root.handlers[:] = handlers
    root.setLevel(level)
    ours.setLevel(logging.NOTSET)
    logging.captureWarnings(capture=False)
    logging.raiseExceptions = raises
    structlog.reset_defaults()


def logged(log_format: str | None, *, level: str = "info", **fields: object) -> str:
    """Return what one event looks like, without its time."""
    stream = io.StringIO()
    logs.configure(level, log_format, stream)
    structlog.get_logger("exporter.poller").info("poll_done", **fields)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", "plain"),
        ("two words", '"two words"'),
        ('say "hi"', '"say \\"hi\\""'),
        ("a=b", '"a=b"'),
        ("first\nsecond", "first\\nsecond"),
        ("\x1b[31mred\r", "\\x1b[31mred\\x0d"),
        ("a\u2028b", "a\\u2028b"),
        (1.5, "1.5"),
        (["a", "b"], "\"['a', 'b']\""),
        (ValueError("x\ny"), "x\\ny"),
    ],
)
def test_logfmt_keeps_every_value_on_its_line(value: object, written: str) -> None:
    """Spaces, quotes, newlines and control characters do not break a line of logfmt."""
    line = logged("logfmt", field=value)
    assert line.endswith(f" level=info event=poll_done field={written}\n")
    assert line.count("\n") == 1


ODD = "a\x1b[2J\rb\nc\x85d\u2028e\u2029f\u202eg\u2066h\x9bi\x7fj\U000e0001k\ud800l"
"""Moves the cursor, begins lines, and turns the text around."""


@pytest.mark.parametrize("log_format", ["logfmt", "json", "console"])
@pytest.mark.parametrize("way", ["field", "list", "library", "exception"])
def test_no_text_moves_the_cursor_or_forges_a_line(log_format: str, way: str) -> None:
    """Names from outside are written as escapes, whoever logs them and in whatever form."""
    stream = io.StringIO()
    logs.configure("info", log_format, stream)
    log = structlog.get_logger("exporter.x")
    if way == "field":
        log.info("poll_done", field=ODD)
    elif way == "list":
        log.info("poll_done", field=[ODD], other={"name": ODD})
    elif way == "library":
        logging.getLogger("httpx").warning("said %s", ODD)
    else:
        log.error("poll_broke", exc_info=ValueError(ODD))
    text = stream.getvalue()
    assert all(line.isprintable() for line in text.split("\n"))
    assert "202e" in text
    assert not any(line.startswith("c") for line in text.splitlines())
    if way != "exception" or log_format != "console":
        assert text.count("\n") == 1


def test_json_holds_odd_texts_as_they_are() -> None:
    """What is escaped in a line of JSON reads as it was."""
    assert json.loads(logged("json", field=ODD))["field"] == ODD
    assert "\u961f\u5217" in logged("json", field="\u961f\u5217")


def test_times_are_utc_in_iso_form() -> None:
    """Every line begins with its time in UTC."""
    begin, _, _ = logged("logfmt").partition(" ")
    assert begin.startswith("timestamp=20")
    assert begin.endswith("Z")


def test_json_is_one_object_a_line_with_the_time_first() -> None:
    """A line of JSON holds the fields as they are."""
    line = logged("json", requests=3, names=["a"], odd=ValueError("x\ny"))
    event = json.loads(line)
    assert list(event) == ["timestamp", "level", "event", "requests", "names", "odd"]
    assert event["requests"] == 3
    assert event["names"] == ["a"]
    assert event["odd"] == "x\ny"
    assert line.count("\n") == 1


def test_the_default_format_follows_the_stream() -> None:
    """A stream that is no TTY gets logfmt."""
    assert "event=poll_done" in logged(None)


def test_a_tty_gets_the_console_format() -> None:
    """A person at a terminal gets readable, coloured lines."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    logs.configure("info", None, stream)
    structlog.get_logger("exporter.x").info("poll_done", escape="\x1b[2J")
    assert "event=poll_done" not in stream.getvalue()
    assert "poll_done" in stream.getvalue()
    assert "\x1b[2J" not in stream.getvalue()


@pytest.mark.parametrize("log_format", ["logfmt", "json", "console"])
def test_fields_named_like_secrets_are_masked(log_format: str) -> None:
    """Whatever is named like a secret is not written, at any depth."""
    line = logged(
        log_format,
        access_key_secret="geheim",
        SecurityToken="geheim",
        headers={"Authorization": "geheim", "x-acs-action": "ListWorkspaces"},
    )
    assert "geheim" not in line
    assert line.count(logs.MASK) == 3
    assert "ListWorkspaces" in line


@pytest.mark.parametrize("log_format", ["logfmt", "json", "console"])
def test_tracebacks_do_not_show_variables(log_format: str) -> None:
    """A traceback shows lines of code, not what variables held."""
    stream = io.StringIO()
    logs.configure("info", log_format, stream)
    held = str(object())
    try:
        int(held[:0])
    except ValueError:
        structlog.get_logger("exporter.x").exception("poll_broke")
    assert "ValueError: invalid literal" in stream.getvalue()
    assert held not in stream.getvalue()


def test_libraries_are_heard_from_warnings_on() -> None:
    """What libraries log comes out of the same renderer, but only what matters."""
    stream = io.StringIO()
    logs.configure("debug", "logfmt", stream)
    logging.getLogger("uvicorn.error").info("hello")
    logging.getLogger("httpx").warning("odd %s", "answer")
    with warnings.catch_warnings(action="always"):
        warnings.showwarning("old way", UserWarning, "old.py", 1)
    first, second = stream.getvalue().splitlines()
    assert first.endswith('level=warning event="odd answer" logger=httpx')
    assert "old way" in second
    assert "logger=py.warnings" in second


def test_libraries_are_not_heard_where_only_errors_are_wanted() -> None:
    """The level that was asked for is theirs, too, where it is the higher one."""
    stream = io.StringIO()
    logs.configure("error", "logfmt", stream)
    logging.getLogger("httpx").warning("odd answer")
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("level", "heard"), [("debug", "debug info"), ("info", "info"), ("warning", "")]
)
def test_our_own_events_are_heard_from_the_level_on(level: str, heard: str) -> None:
    """The level that was asked for holds for everything below the package."""
    stream = io.StringIO()
    logs.configure(level, "json", stream)
    log = structlog.get_logger("exporter.x")
    log.debug("debug")
    log.info("info")
    assert " ".join(json.loads(line)["event"] for line in stream.getvalue().splitlines()) == heard


def test_what_is_bound_to_a_task_is_in_its_events() -> None:
    """Fields bound to the context are written with every event in it."""
    with structlog.contextvars.bound_contextvars(target="livy_sessions/w-1/lc-1"):
        assert "target=livy_sessions/w-1/lc-1" in logged("logfmt")


class Stubborn:
    """Raises where nobody can catch it."""

    def __del__(self) -> None:
        """Refuse to go."""
        raise ValueError("first\nsecond")


@pytest.mark.parametrize("log_format", ["logfmt", "json"])
@pytest.mark.parametrize("way", ["in a thread", "at the end of an object"])
def test_an_unhandled_exception_is_logged_as_one_line(log_format: str, way: str) -> None:
    """A thread that ends by an exception leaves an event, not a traceback between the lines."""
    stream = io.StringIO()
    logs.configure("info", log_format, stream)
    if way == "in a thread":
        thread = threading.Thread(target=int, args=("first\nsecond",))
        thread.start()
        thread.join()
    else:
        Stubborn()
    line = stream.getvalue()
    assert line.count("\n") == 1
    assert "uncaught_exception" in line
    assert "ValueError" in line
