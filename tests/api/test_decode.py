import json
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.api import decode
from exporter.api.decode import (
    Envelope,
    decode_envelope,
    decode_gateways,
    decode_livy_sessions,
    decode_session_clusters,
    decode_workspaces,
)
from exporter.errors import MalformedError
from exporter.model import Gateway, LivySession, Page, SessionCluster, Usage, Workspace

SEEDS = Path(__file__).parents[1] / "fixtures/api"
DECODERS = [decode_session_clusters, decode_livy_sessions, decode_workspaces, decode_gateways]


def sessions(*records: object, **others: object) -> bytes:
    """Return the bytes of a page."""
    return json.dumps({"sessions": records, **others}).encode()


def session(**fields: object) -> LivySession:
    """Read one session of the given fields."""
    page = decode_livy_sessions(sessions({"sessionId": "s", "state": "running", **fields}))
    assert page.malformed == ()
    return page.records[0]


def cluster(**fields: object) -> SessionCluster:
    """Read one cluster of the given fields."""
    body = {"sessionClusters": [{"sessionClusterId": "c", "state": "Running", **fields}]}
    return decode_session_clusters(json.dumps(body).encode()).records[0]


def raw_session(fields: str) -> bytes:
    """Return the bytes of one session, for what `json.dumps` cannot say."""
    return b'{"sessions":[{"sessionId":"s","state":"running",' + fields.encode() + b"}]}"


def test_the_vendors_cluster_sample() -> None:
    """The vendor's sample of session clusters is read whole, without its secrets."""
    page = decode_session_clusters((SEEDS / "seed_list_session_clusters.json").read_bytes())

    assert page == Page(
        records=(
            SessionCluster(
                session_cluster_id="sc-123131",
                state="running",
                name="adhoc_query",
                kind="SQL",
                queue="dev_queue",
                user_name="test_user",
                release_version="esr-4.0.0 (Spark 3.5.2, Scala 2.12)",
                fusion=False,
                state_code="200",
                state_message="ok",
                web_ui="http://spark-ui-xxxx",
                created_ms=1732267598000,
                started_ms=1732267598000,
                auto_start=True,
                auto_stop=False,
                auto_stop_idle_minutes=45,
                public_endpoint=False,
            ),
        ),
        total_count=200,
        next_token="1",
    )


def test_the_vendors_session_sample() -> None:
    """The vendor's sample of Livy sessions is read whole; `info` says nothing there."""
    page = decode_livy_sessions((SEEDS / "seed_list_livy_compute_sessions.json").read_bytes())

    assert page == Page(
        records=(
            LivySession(
                session_id="livy-xxxxxx",
                state="running",
                name="test_session",
                queue="root_queue",
                proxy_user="test",
                web_ui="http://emr-spark-ui-cn-hangzhou.data.aliyun.com",
                created_ms=1768213240000,
                ended_ms=1768213240000,
                usage=Usage(322_500_000_000, 343, 1098888),
            ),
        ),
        total_count=10,
    )


def test_workspaces_and_gateways() -> None:
    """Both discovery answers are read, one of them out of its envelope."""
    workspaces = b'{"workspaces":[{"workspaceId":"w","workspaceName":"n","workspaceStatus":"R"}]}'
    gateways = (
        b'{"code":"1000000","data":{"livyComputes":'
        b'[{"computeId":"lc","name":"n","queueName":"q","status":"RUNNING"}]}}'
    )

    assert decode_workspaces(workspaces).records == (Workspace("w", "n"),)
    assert decode_gateways(gateways).records == (Gateway("lc", "n", "q", "RUNNING"),)


@pytest.mark.parametrize(
    ("read", "body"),
    [
        (decode_session_clusters, b'{"requestId":"r","totalCount":0}'),
        (decode_session_clusters, b'{"sessionClusters":null,"totalCount":0}'),
        (decode_livy_sessions, b'{"sessions":null,"totalCount":"0"}'),
        (decode_workspaces, b'{"workspaces":null,"nextToken":null,"totalCount":0}'),
        (decode_gateways, b'{"code":"1000000","data":{"livyComputes":null}}'),
        (decode_gateways, b'{"code":"1000000","data":{}}'),
        (decode_gateways, b'{"code":"1000000","data":null}'),
    ],
)
def test_an_empty_list_may_be_left_out(read: Callable[[bytes], Page[object]], body: bytes) -> None:
    """Where an answer says that there is nothing, null is an empty list, as in the vendor's SDK."""
    assert read(body).records == ()


@pytest.mark.parametrize("read", DECODERS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  \n",
        b"null",
        b"[]",
        b"3",
        b'"sessions"',
        b"{}",
        b'{"sessions":null,"sessionClusters":null,"workspaces":null,"data":null}',
        b'{"sessions":null,"sessionClusters":null,"workspaces":null,"data":null,"totalCount":1}',
        b'{"sessions":{},"sessionClusters":1,"workspaces":"x","data":[],"totalCount":0}',
        b'{"data":{"livyComputes":{}}}',
        b"<html><body>sentinel</body></html>",
        b'{"sessions":[{"sessionId":"sentinel"}',
        b"\x1f\x8b\x08\x00",
        b"[" * 200_000,
        b'{"sessions":' + b"[" * 200_000,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_a_malformed_body(read: object, body: bytes) -> None:
    """What is not the documented answer as a whole is an error, which quotes nothing of it."""
    assert callable(read)
    with pytest.raises(MalformedError) as caught:
        read(body)

    assert "sentinel" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "fields",
    [
        '"cuHours":Infinity',
        '"cuHours":-Infinity',
        '"cuHours":NaN',
        '"cuHours":1e999',
        '"cuHours":1e99999999999999999999',
        '"cuHours":1000000000.0000001',
        '"cuHours":-0.1',
        '"cuHours":"many"',
        '"cuHours":"Infinity"',
        '"cuHours":"1_000"',
        '"cuHours":true',
        '"cuHours":[]',
        '"cuHours":{}',
        '"vcoreSeconds":9007199254740992',
        '"vcoreSeconds":9007199254740991.5',
        '"vcoreSeconds":' + "9" * 5000,
        '"vcoreSeconds":-1',
        '"mbSeconds":"x"',
        '"sessionId":null',
        '"sessionId":""',
        '"sessionId":"  "',
        '"sessionId":true',
        '"sessionId":{"a":1}',
        '"sessionId":"' + "x" * 257 + '"',
    ],
    ids=lambda fields: fields[:40],
)
def test_one_bad_record_costs_only_itself(fields: str) -> None:
    """A record without an id or with a figure that is none is named; its neighbours count."""
    good = '{"sessionId":"good","state":"running"}'
    bad = '{"sessionId":"bad","state":"running",' + fields + "}"

    page = decode_livy_sessions(f'{{"sessions":[{good},{bad},{good}]}}'.encode())

    assert [record.session_id for record in page.records] == ["good", "good"]
    assert len(page.malformed) == 1
    assert ("sessionId" in fields) == page.malformed[0].startswith("digest:")


def test_records_that_are_no_objects_are_rows() -> None:
    """Equal unreadable records on one page stay apart, because each of them is a row."""
    page = decode_livy_sessions(sessions(None, {"sessionId": "s", "state": "running"}, None, 3))

    assert len(page.records) == 1
    assert len(set(page.malformed)) == 3
    assert page.malformed_at == (0, 2, 3)


@pytest.mark.parametrize(
    ("given_", "nano"),
    [
        ("0", 0),
        ("-0.0", 0),
        ("0.1", 100_000_000),
        ('"0.1"', 100_000_000),
        ('" 2 "', 2_000_000_000),
        ("322.5", 322_500_000_000),
        ("1e-9", 1),
        ("0.0000000005", 0),
        ("0.0000000015", 2),
        ("0.00000000150000000000000000000000000000001", 2),
        ("9007199.254740993", 9_007_199_254_740_993),
        ("999999999.999999999", 999_999_999_999_999_999),
        ("1e9", 10**18),
        ("1e-999999", 0),
        ("null", None),
        ('""', None),
    ],
)
def test_cu_hours_are_exact_to_the_nano(given_: str, nano: int | None) -> None:
    """The digits of the answer are rounded once, half to even; no float is in between."""
    page = decode_livy_sessions(raw_session(f'"cuHours":{given_}'))

    assert page.records[0].usage.nano_cu_hours == nano


@given(st.integers(0, 10**18))
def test_any_number_of_nano_cu_hours_survives(nano: int) -> None:
    """Every figure in the range comes out as it was written."""
    digits = format(Decimal(nano).scaleb(-9), "f")

    page = decode_livy_sessions(raw_session(f'"cuHours":{digits}'))

    assert page.records[0].usage.nano_cu_hours == nano


@pytest.mark.parametrize(
    ("value", "expected"),
    [(343, 343), ("343", 343), (343.0, 343), (2.5, 2), (3.5, 4), (None, None), ("", None)],
)
def test_seconds_come_in_many_forms(value: object, expected: int | None) -> None:
    """Vcore-seconds and MB-seconds may come as text or with decimals."""
    usage = session(vcoreSeconds=value, mbSeconds=value).usage

    assert (usage.vcore_seconds, usage.mb_seconds) == (expected, expected)


def test_what_is_missing_is_nothing() -> None:
    """A session with nothing but its id is a session, without a figure, in an unknown state."""
    page = decode_livy_sessions(sessions({"sessionId": 7}))

    assert page.records == (LivySession("7", "unknown", strange_state="none"),)


@pytest.mark.parametrize("value", [None, 0, -1, "", "soon", True, [], 10**15, 1e300])
def test_invalid_times(value: object) -> None:
    """A time that cannot be used is missing, and does not spoil its record."""
    assert session(createTime=value, endTime=value).created_ms is None


def test_a_time_as_text() -> None:
    """A time may come as text."""
    assert session(createTime="1768213240000").created_ms == 1768213240000


@pytest.mark.parametrize(
    ("value", "state", "strange"),
    [
        ("NotStarted", "not_started", ""),
        ("NOT_STARTED", "not_started", ""),
        ("not-started", "not_started", ""),
        ("Not Started", "not_started", ""),
        ("STOPPING", "stopping", ""),
        ("Hibernating", "unknown", "Hibernating"),
        ("unknown", "unknown", "unknown"),
        ("password=hunter2", "unknown", "password=…"),
        ("", "unknown", "none"),
        (None, "unknown", "none"),
        (3, "unknown", "3"),
    ],
)
def test_states_are_matched_leniently(value: object, state: str, strange: str) -> None:
    """Case and separators do not count; what is not documented is unknown, and says so."""
    found = cluster(state=value)

    assert (found.state, found.strange_state) == (state, strange)


@pytest.mark.parametrize(
    ("fields", "kind", "release_version"),
    [
        ({"kind": "notebook", "releaseVersion": "esr-4"}, "NOTEBOOK", "esr-4"),
        ({"kind": "Ray", "displayReleaseVersion": "esr-4 (Spark)"}, "Ray", "esr-4 (Spark)"),
        ({"releaseVersion": "esr-4", "displayReleaseVersion": "esr-4 (Spark)"}, "", "esr-4"),
    ],
)
def test_kind_and_version_of_a_cluster(
    fields: dict[str, object], kind: str, release_version: str
) -> None:
    """A documented kind is in upper case, any other as it is; the version is a short one if any."""
    found = cluster(**fields)

    assert (found.kind, found.release_version) == (kind, release_version)


@pytest.mark.parametrize(
    ("conf", "user"),
    [
        ('{"proxyUser":"ana","conf":{"spark.secret":"sentinel"}}', "ana"),
        ('{"conf":{"a":[Infinity]},"proxyUser":"ana"}', "ana"),
        ('{"proxyUser":7}', "7"),
        ('{"proxyUser":null}', ""),
        ('{"proxyUser":{"sentinel":1}}', ""),
        ("{}", ""),
        ("", ""),
        ("null", ""),
        ("[]", ""),
        ("sentinel", ""),
        ('{"proxyUser":"sentinel"', ""),
        ("[" * 100_000, ""),
        (None, ""),
        (3, ""),
        ({"proxyUser": "ana"}, "ana"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_the_proxy_user_is_all_that_is_taken(conf: object, user: str) -> None:
    """Of the Spark configuration, which may be anything, only the user is kept."""
    found = session(sparkConf=conf)

    assert found.proxy_user == user
    assert "sentinel" not in repr(found)


def test_secrets_are_dropped() -> None:
    """Neither token nor configuration of a cluster is in what comes out, on either road."""
    secrets = {
        "connectionToken": "sentinel",
        "applicationConfigs": [{"configItemValue": "sentinel"}],
        "extra": "sentinel",
    }
    bad = {"sessionClusterId": None, **secrets}
    body = json.dumps({"sessionClusters": [{"sessionClusterId": "c", **secrets}, bad]})

    for text in (body, body.replace('"c"', '"\\ud800"')):
        page = decode_session_clusters(text.encode())
        assert len(page.records) == len(page.malformed) == 1
        assert "sentinel" not in repr(page)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a\n\tb\x00", "a\n\tb\\x00"),
        ("a\rb\x85c\u2028d\u2029", "a\\x0db\\x85c\\u2028d\\u2029"),
        ("\x1b[31m\x7f\x9b", "\\x1b[31m\\x7f\\x9b"),
        ("x" * 300, "x" * 256),
        ("cut \ud83d", "cut \ufffd"),
        ("\udc00 cut", "\ufffd cut"),
        ("\U0001f600", "\U0001f600"),
        (12.5, "12.5"),
        (False, ""),
        (["x"], ""),
    ],
)
def test_texts_are_valid_and_short(name: object, expected: str) -> None:
    """A name is valid UTF-8 of at most 256 characters, whatever it was."""
    assert session(name=name).name == expected


@pytest.mark.parametrize("name", [b"a\xffb", "\u961f\u5217".encode("gbk")])
def test_bytes_that_are_not_utf_8_are_refused(name: bytes) -> None:
    """A name read with replacement characters would be another name in the ledger, for good."""
    with pytest.raises(MalformedError, match="not UTF-8"):
        decode_livy_sessions(b'{"sessions":[{"sessionId":"s","name":"%b"}]}' % name)


def test_a_surrogate_as_bytes_costs_a_character() -> None:
    """Half a character, which Java leaves where it cuts a name, costs no more than itself."""
    page = decode_livy_sessions(b'{"sessions":[{"sessionId":"s","name":"a\xed\xa0\xbd"}]}')

    assert page.records[0].name == "a\ufffd"


def test_ids_that_differ_in_control_characters_stay_two() -> None:
    """Control characters are replaced in ids, by which two sessions do not become one."""
    names = ["a\r", "a\x0b", "a\x00", "a\u2028", "a\x85"]
    page = decode_livy_sessions(sessions(*({"sessionId": name} for name in names)))

    found = [record.session_id for record in page.records]
    assert len(set(found)) == len(names)
    assert all(name.isprintable() for name in found)


SECRET = "accessKeySecret=sentinel0, https://ann:sentinel1@x?token=sentinel2 Bearer sentinel3"


def test_free_texts_hold_no_secret() -> None:
    """Texts that people and programs wrote are redacted, and links lose what opens doors."""
    link = "https://ann:sentinel@ui/x?token=sentinel&tab=1"
    reason = {"code": "Failed", "message": f"no start:\n {SECRET}"}
    found = cluster(stateChangeReason=reason, webUI=link)

    assert found.state_message.startswith("no start: accessKeySecret=\u2026")
    assert found.web_ui == session(webUI=link).web_ui == "https://ui/x?tab=1"
    assert "sentinel" not in repr((found, session(info=SECRET, webUI=link)))


def test_a_page_token_is_kept_as_it_is() -> None:
    """A token is sent back unchanged; one that is too long for a URL is refused, not cut."""
    body = json.dumps({"sessionClusters": [], "nextToken": "a\n" * 300}).encode()
    assert decode_session_clusters(body).next_token == "a\n" * 300

    body = json.dumps({"sessionClusters": [], "nextToken": "a" * 9000}).encode()
    with pytest.raises(MalformedError, match="page token has 9000 characters"):
        decode_session_clusters(body)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("https://ui/x?y=1", True),
        ("https://ui.example:8443/a?b=c#d", True),
        ("https://ui/\\x", False),
        ("HTTP://ui", True),
        ("http:///nowhere", False),
        ("http://:80/", False),
        ("http://[::1", False),
        ("//ui/", False),
        ("https://ui/\u202ex", False),
        ("javascript:alert(1)", False),
        ("JaVaScRiPt://%0aalert(1)", False),
        ("data:text/html,x", False),
        ("ftp://ui", False),
        ("https://ui/ x", False),
        ("https://ui/\nx", False),
        ("https://" + "x" * 3000, False),
        (None, False),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_only_web_addresses_are_kept(value: object, kept: bool) -> None:  # noqa: FBT001
    """The address of the UI is kept if a browser may be sent there."""
    assert session(webUI=value).web_ui == (value if kept else "")


@pytest.mark.parametrize(
    ("value", "expected"),
    [(10, 10), ("10", 10), (10.0, 10), (0, 0), (None, None), ("?", None), (-1, None), (True, None)],
)
def test_invalid_counts(value: object, expected: int | None) -> None:
    """A missing or non-numeric count is no count."""
    assert decode_livy_sessions(sessions(totalCount=value)).total_count == expected


@pytest.mark.parametrize("token", [None, ""])
def test_the_end_of_tokens(token: object) -> None:
    """Absent, null and empty are the same: there is no further page."""
    body = json.dumps({"sessionClusters": [], "nextToken": token}).encode()

    assert decode_session_clusters(body).next_token == ""
    assert decode_session_clusters(b'{"sessionClusters":[]}').next_token == ""


def test_a_byte_order_mark_is_ignored() -> None:
    """A mark before the answer is passed over."""
    assert decode_livy_sessions(b'\xef\xbb\xbf{"sessions":[]}') == Page()


@pytest.mark.parametrize(
    ("body", "envelope"),
    [
        (b'{"code":"1000000","requestId":"r"}', Envelope("1000000", "", "r")),
        (b'{"code":1000000,"data":NaN}', Envelope("1000000")),
        (b'{"code":null,"message":"no"}', Envelope("", "no")),
        (b'{"code":" 200 ","success":true}', Envelope("200")),
        (b'{"code":"null"}', Envelope("null")),
        (b'{"Code":"X","Message":"no","RequestId":"r"}', Envelope("X", "no", "r", False)),
        (b'{"code":"200","Code":"X"}', Envelope("X", "", "", False)),
        (b'{"code":"X","Code":"Y"}', Envelope("X", "", "", False)),
        (b'{"code":"X","message":"\xff\xe9"}', Envelope("X", "\ufffd\ufffd", "", False)),
        (b'{"code":"InternalError","success":true}', Envelope("InternalError", "", "", False)),
        (b'{"code":500}', Envelope("500", "", "", False)),
        (b'{"success":false}', Envelope(is_success=False)),
        (b'{"Success":"False","code":"200"}', Envelope("200", "", "", False)),
        (b'{"success":false,"x":Infinity}', Envelope(is_success=False)),
        (b'{"code":["x"],"success":"?"}', Envelope()),
        (b"[]", Envelope()),
        (b"<html>", Envelope()),
        (b"\xff", Envelope()),
        (b"[" * 100_000, Envelope()),
        (b"", Envelope()),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_an_answer_says_about_itself(body: bytes, envelope: Envelope) -> None:
    """Code, message and success are read in either spelling and of any type, or are missing."""
    assert decode_envelope(body) == envelope


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        *("sessionId", "sessionClusterId", "workspaceId", "computeId", "name", "state", "info"),
        *("sparkConf", "webUI", "createTime", "endTime", "cuHours", "vcoreSeconds", "mbSeconds"),
        *("stateChangeReason", "autoStartConfiguration", "autoStopConfiguration", "fusion"),
    ]
)
RECORDS = st.lists(st.dictionaries(FIELDS, JSON, max_size=6) | JSON, max_size=4)
ANSWERS = st.builds(
    lambda rows, count, token: {
        "sessions": rows,
        "sessionClusters": rows,
        "workspaces": rows,
        "data": {"livyComputes": rows},
        "totalCount": count,
        "nextToken": token,
    },
    RECORDS,
    JSON,
    JSON,
)


def is_clean(page: Page[object]) -> bool:
    """Whether a page holds valid text only."""
    repr(page).encode()  # raises on a lone surrogate
    return all(isinstance(name, str) for name in page.malformed)


@given(ANSWERS)
def test_any_records_are_rows(answer: dict[str, object]) -> None:
    """Whatever the records are, each is read or named, and all texts are valid."""
    body = json.dumps(answer).encode()

    for read in DECODERS:
        page = read(body)
        assert len(page.records) + len(page.malformed) == len(answer["sessions"])  # type: ignore[arg-type]
        assert is_clean(page)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_an_answer_or_an_error(body: bytes) -> None:
    """No bytes get anything else out of the parser than a page or our error."""
    for read in DECODERS:
        with suppress(MalformedError):
            assert is_clean(read(body))
    with suppress(MalformedError):
        decode_envelope(body)


WELL_FORMED = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.lists(st.dictionaries(FIELDS, WELL_FORMED, max_size=8), max_size=3), WELL_FORMED)
def test_both_roads_lead_to_the_same(rows: list[object], count: object) -> None:
    """A page that the strict decoder takes reads the same by way of the standard library."""
    fast = sessions(*rows, totalCount=count)
    slow = fast[:-1] + b', "refused": NaN}'

    assert decode._SESSIONS._decoder.decode(fast) is not None  # noqa: SLF001 (the fast road)
    with pytest.raises(ValueError, match="malformed"):
        decode._SESSIONS._decoder.decode(slow)  # noqa: SLF001
    assert decode_livy_sessions(slow) == decode_livy_sessions(fast)
