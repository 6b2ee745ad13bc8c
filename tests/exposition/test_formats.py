"""Content negotiation: which format and encoding a client gets."""

import pytest

from exporter.exposition import Form, PageFormat, negotiated

TEXT, STRICT = PageFormat.TEXT, PageFormat.OPENMETRICS
OPENMETRICS = "application/openmetrics-text"
PROMETHEUS_3 = (
    f"{OPENMETRICS};version=1.0.0;escaping=allow-utf-8;q=0.6,{OPENMETRICS};version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("application/*", TEXT),
        (OPENMETRICS, STRICT),
        (OPENMETRICS.upper(), STRICT),
        (f"{OPENMETRICS}; version=1.0.0; charset=utf-8", STRICT),
        (f"{OPENMETRICS};version=0.0.1", TEXT),
        (f"{OPENMETRICS};version=2.0.0,*/*;q=0.1", TEXT),
        (f"{OPENMETRICS};q=0", TEXT),
        (f"{OPENMETRICS};q=0.4,text/plain;q=0.5", TEXT),
        (f"{OPENMETRICS};q=0.5,text/plain;q=0.5", STRICT),
        (f"text/plain,{OPENMETRICS}", STRICT),
        (f"{OPENMETRICS};q=0.5,text/plain;version=1.0.0", STRICT),
        (f"{OPENMETRICS};q=0.5,text/*", TEXT),
        (f"{OPENMETRICS};q=0.5,*/*", TEXT),
        (f"{OPENMETRICS};q=0.5,*/*,text/plain;q=0.1", STRICT),
        (f"{OPENMETRICS};q=nan,{OPENMETRICS};q=2,{OPENMETRICS};q=", TEXT),
        (PROMETHEUS_3, STRICT),
        (";;=,,;q", TEXT),
    ],
)
def test_the_format_follows_the_accept_header(accept: str, expected: PageFormat) -> None:
    """The preferred one; OpenMetrics only if it is named, otherwise text."""
    assert negotiated(accept, "").format is expected


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("deflate, gzip;q=0.5, br", True),
        ("gzip;q=0", False),
        ("gzip;q=0.0, *", False),
        ("*", True),
        ("*;q=0", False),
        ("identity", False),
        ("gzipped", False),
    ],
)
def test_gzip_is_used_if_the_client_accepts_it(accept_encoding: str, *, expected: bool) -> None:
    """Named, or covered by `*`, and not refused with `q=0`."""
    assert negotiated("", accept_encoding).is_gzipped is expected


def test_format_and_encoding_are_negotiated_together() -> None:
    """The result holds both."""
    assert negotiated(OPENMETRICS, "gzip") == Form(STRICT, is_gzipped=True)
