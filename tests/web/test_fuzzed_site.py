"""Requests that are well formed and say odd things, to everything that the exporter serves."""

import asyncio
import logging

import hypothesis.strategies as st
from hypothesis import given

from tests.support.budgets import examples
from tests.support.harness import Harness
from tests.support.pages import Page
from tests.support.web_server import Heard, exchange, served, statuses
from tests.support.worlds import busy_world

PATHS = ("/", "/metrics", "/-/healthy", "/-/ready", "/api/v1/status", "/api/v1", "//", "/metrics/")
WORDS = st.sampled_from(
    [
        *(b"name[]=", b"refresh=", b"up", b"off", b"15", b"-1", b"1e999", b"nan", b"%00", b"%zz"),
        *(b"%F0%9F%98%80", b"&", b"=", b";", b"*/*", b"text/plain", b";q=", b";version=", b"0.0.4"),
        *(
            b"application/openmetrics-text",
            b"1.0.0",
            b"gzip",
            b"identity",
            b",",
            b"Basic ",
            b"Og==",
        ),
        *(
            b"emr_serverless_spark_session_clusters",
            b"bytes=0-1",
            b'W/"x"',
            b"\xff\xfe",
            b"9" * 400,
        ),
    ]
)
TEXTS = st.lists(WORDS, max_size=6).map(b"".join)
NAMES = st.sampled_from(
    [
        *(b"Accept", b"Accept-Encoding", b"Authorization", b"Host", b"Range", b"If-None-Match"),
        *(b"X-Prometheus-Scrape-Timeout-Seconds", b"Cookie", b"Forwarded", b"User-Agent", b"TE"),
    ]
)
HEADERS = st.lists(st.tuples(NAMES, TEXTS), max_size=5)
ALLOWED = {200, 400, 404, 405, 431, 503}
"""Not ready is 503, on purpose; 500 is never."""


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Write a request of HTTP/1.0 or 1.1, after which the connection is closed."""
    method = draw(st.sampled_from([b"GET", b"GET", b"GET", b"HEAD", b"POST", b"OPTIONS"]))
    path = draw(st.sampled_from(PATHS)).encode()
    query = draw(TEXTS)
    version = draw(st.sampled_from([b"1.1", b"1.0"]))
    lines = [method + b" " + path + b"?" + query + b" HTTP/" + version]
    lines += [name + b": " + text for name, text in draw(HEADERS)]
    return b"\r\n".join([*lines, b"Connection: close", b"", b""])


async def ask(sent: list[bytes]) -> tuple[list[bytes], Page]:
    """Send all at once to the whole site of an exporter; give the answers, and a scrape after."""
    async with Harness(busy_world()) as h:
        await h.poll()
        async with served(site=h.site) as address:
            answers = await asyncio.gather(*(exchange(address, each) for each in sent))
        return answers, await h.page()


@examples(0.15)
@given(st.lists(requests(), min_size=10, max_size=30))
def test_no_request_to_the_site_causes_an_internal_error(sent: list[bytes]) -> None:
    """Each gets one response, no 500, no traceback in response or log; metrics still work."""
    heard = Heard()
    root = logging.getLogger()
    root.addHandler(heard)
    try:
        answers, page = asyncio.run(ask(sent))
    finally:
        root.removeHandler(heard)
    assert {len(statuses(each)) for each in answers} == {1}
    assert {statuses(each)[0] for each in answers} <= ALLOWED
    assert not any(b"Traceback" in each for each in answers)
    assert heard.said == []
    assert page.value("exporter_target_up", source="livy_sessions", workspace_id="w-1") == 1
