import asyncio
import json
import math
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.demo import (
    ABSENT,
    SENTINELS,
    Behaviour,
    Call,
    Cloud,
    Encoding,
    HistoryOrder,
    LastToken,
    PastEnd,
    SessionKey,
    SimulatedGateway,
    SimulatedSession,
    SimulatedUsage,
    SimulatedWorkspace,
    TableName,
    TokenStyle,
    TotalCount,
    World,
)
from tests.support.cloud_client import (
    CLUSTERS,
    GATEWAYS,
    REGION,
    SESSIONS,
    WORKSPACES,
    Reply,
    ask_async,
    get,
    small_cloud,
    unsigned,
    with_signature,
)


def page(cloud: Cloud, number: int, size: int = 100) -> Reply:
    """Ask for a page of Livy sessions."""
    return get(cloud, SESSIONS, f"pageNum={number}&pageSize={size}&{REGION}")


def ids(reply: Reply) -> list[str]:
    """Return the ids of the Livy sessions on a page."""
    return [row["sessionId"] for row in reply.json()["sessions"]]


def token_scan(cloud: Cloud, size: int = 100) -> list[dict[str, Any]]:
    """Read all pages of session clusters, as long as there is a token."""
    pages, token = [], ""
    while True:
        query = f"maxResults={size}&{f'nextToken={token}&' if token else ''}{REGION}"
        pages.append(get(cloud, CLUSTERS, query).json())
        token = pages[-1].get("nextToken") or ""
        token = token.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
        if not token:
            return pages


def test_a_numbered_scan_serves_every_session_once() -> None:
    """250 sessions are three pages, newest first; the page after them is empty."""
    cloud = small_cloud(sessions=250)
    pages = [page(cloud, number) for number in (1, 2, 3, 4)]
    assert [len(ids(reply)) for reply in pages] == [100, 100, 50, 0]
    assert [i for reply in pages for i in ids(reply)] == [f"livy-{n}" for n in range(249, -1, -1)]
    assert {reply.json()["totalCount"] for reply in pages} == {250}


def test_pages_have_20_rows_unless_asked() -> None:
    """The documented default."""
    assert len(ids(get(small_cloud(sessions=30), SESSIONS))) == 20


@pytest.mark.parametrize(
    "query",
    ["pageNum=0", "pageNum=x", "pageSize=0", "pageSize=101", "pageSize=-1", "pageSize=1.5"],
)
def test_a_page_that_cannot_be_is_refused(query: str) -> None:
    """Page sizes are 1 to 100, page numbers from 1."""
    reply = get(small_cloud(), SESSIONS, f"{query}&{REGION}")
    assert (reply.status, reply.code) == (400, "InvalidParameter")


@pytest.mark.parametrize("query", ["maxResults=101", "maxResults=0", "nextToken=nonsense"])
def test_a_token_page_that_cannot_be_is_refused(query: str) -> None:
    """More than 100 rows, or a token that the service never gave."""
    query = "&".join(sorted([query, REGION]))
    assert get(small_cloud(), CLUSTERS, query).code == "InvalidParameter"


def test_past_the_end_the_last_page_may_repeat() -> None:
    """Any later page is the last one again."""
    cloud = small_cloud(sessions=150, behaviour=Behaviour(past_end=PastEnd.REPEAT_LAST))
    assert ids(page(cloud, 3)) == ids(page(cloud, 2)) == ids(page(cloud, 9))


def test_past_the_end_may_be_an_error() -> None:
    """But the first page of an empty list never is."""
    behaviour = Behaviour(past_end=PastEnd.ERROR)
    assert page(small_cloud(sessions=100, behaviour=behaviour), 2).code == "InvalidParameter"
    assert page(small_cloud(behaviour=behaviour), 1).status == 200


def test_a_history_may_be_unreachable_from_some_depth() -> None:
    """The count tells of rows that no page shows."""
    cloud = small_cloud(sessions=300, behaviour=Behaviour(reachable_rows=150))
    assert [len(ids(page(cloud, n))) for n in (1, 2, 3)] == [100, 50, 0]
    assert page(cloud, 3).json()["totalCount"] == 300


@pytest.mark.parametrize("style", TokenStyle)
@pytest.mark.parametrize("last", LastToken)
@pytest.mark.parametrize(
    ("rows", "after_full", "sizes"),
    [
        (0, False, [0]),
        (0, True, [0]),
        (99, True, [99]),
        (100, False, [100]),
        (100, True, [100, 0]),
        (250, False, [100, 100, 50]),
    ],
)
def test_a_token_scan_ends_in_every_way_that_is_unknown(
    style: TokenStyle, last: LastToken, rows: int, *, after_full: bool, sizes: list[int]
) -> None:
    """Every row comes once, in order; the last page's token is absent, null or empty."""
    behaviour = Behaviour(last_token=last, token_style=style, token_after_full_page=after_full)
    pages = token_scan(small_cloud(clusters=rows, behaviour=behaviour))
    assert [len(each["sessionClusters"]) for each in pages] == sizes
    got = [row["sessionClusterId"] for each in pages for row in each["sessionClusters"]]
    assert got == [f"sc-{n:04}" for n in range(rows)]
    end = {LastToken.ABSENT: "absent", LastToken.NULL: None, LastToken.EMPTY: ""}[last]
    assert pages[-1].get("nextToken", "absent") == end


def test_the_service_may_give_fewer_rows_than_asked_on_token_pages() -> None:
    """The cap is silent."""
    behaviour = Behaviour(token_page_cap=30)
    pages = token_scan(small_cloud(clusters=70, behaviour=behaviour))
    assert [len(each["sessionClusters"]) for each in pages] == [30, 30, 10]


@pytest.mark.parametrize(
    ("total_count", "served"),
    [(TotalCount.PRESENT, 3), (TotalCount.ABSENT, "absent"), (TotalCount.NON_NUMERIC, "many")],
)
def test_the_count_may_be_missing_or_no_number(total_count: TotalCount, served: object) -> None:
    """In both ways of paging."""
    cloud = small_cloud(sessions=3, clusters=3, behaviour=Behaviour(total_count=total_count))
    for path in (CLUSTERS, SESSIONS):
        assert get(cloud, path).json().get("totalCount", "absent") == served


def test_the_world_may_change_between_pages() -> None:
    """A session created during a scan shifts the pages: one row comes twice."""
    cloud = small_cloud(sessions=150)

    def create(call: Call) -> None:
        if call.page == 2:
            cloud.world.put_session(SimulatedSession("w-1", "lc-1", "livy-new", 10**6))

    cloud.before_page = create
    first, second = ids(page(cloud, 1)), ids(page(cloud, 2))
    assert set(first) & set(second) == {"livy-50"}


def test_a_token_that_remembers_its_row_does_not_drift() -> None:
    """Where a place would skip a row, the row's own token does not."""
    skipped = {}
    for style in TokenStyle:
        cloud = small_cloud(clusters=4, behaviour=Behaviour(token_style=style))

        def drop(call: Call, cloud: Cloud = cloud) -> None:
            if call.page == 2:
                cloud.world.remove_cluster("w-1", "sc-0000")

        cloud.before_page = drop
        rows = [row for each in token_scan(cloud, 2) for row in each["sessionClusters"]]
        skipped[style] = {"sc-0002"} - {row["sessionClusterId"] for row in rows}
    assert skipped == {TokenStyle.PLACE: {"sc-0002"}, TokenStyle.ROW: set()}


def test_a_listing_may_be_falsely_empty_or_short() -> None:
    """With success, for as long as it is told."""
    cloud = small_cloud(sessions=5, clusters=5)
    cloud.world.hide(TableName.SESSIONS)
    cloud.world.hide(TableName.CLUSTERS, "w-1", keep=2)
    assert page(cloud, 1).json()["totalCount"] == 0
    assert len(get(cloud, CLUSTERS).json()["sessionClusters"]) == 2
    cloud.world.hide(TableName.GATEWAYS)
    cloud.world.hide(TableName.WORKSPACES)
    assert get(cloud, GATEWAYS).json()["data"] == {"livyComputes": []}
    assert get(cloud, WORKSPACES).json()["workspaces"] == []
    cloud.world.show(TableName.SESSIONS)
    assert len(ids(page(cloud, 1))) == 5


def test_gateways_come_in_an_envelope() -> None:
    """Only this call has one."""
    answer = get(small_cloud(), GATEWAYS).json()
    assert answer["code"] == "1000000"
    assert [row["computeId"] for row in answer["data"]["livyComputes"]] == ["lc-1"]


def test_workspaces_are_those_of_the_region() -> None:
    """One service answers for several regions, each with its own workspaces."""
    cloud = small_cloud()
    cloud.world.put_workspace(SimulatedWorkspace("w-far", region_id="eu-central-1"))
    assert [r["workspaceId"] for r in get(cloud, WORKSPACES).json()["workspaces"]] == ["w-1"]
    far = get(cloud, WORKSPACES, "regionId=eu-central-1").json()
    assert [row["workspaceId"] for row in far["workspaces"]] == ["w-far"]


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize(
    ("path", "region"),
    [
        ("/api/v1/workspaces/w-2/sessionClusters", "cn-hangzhou"),
        (CLUSTERS, "eu-central-1"),
    ],
)
def test_an_unknown_workspace_has_a_null_code(status: int, path: str, region: str) -> None:
    """So does one of another region."""
    cloud = small_cloud(behaviour=Behaviour(unknown_status=status))
    reply = get(cloud, path, f"regionId={region}")
    assert (reply.status, reply.code) == (status, None)


def test_an_unknown_gateway_has_a_null_code() -> None:
    """Like an unknown workspace."""
    path = SESSIONS.replace("lc-1", "lc-2")
    reply = get(small_cloud(), path, x_acs_action="ListLivyComputeSessions")
    assert (reply.status, reply.code) == (404, None)


def test_errors_may_be_spelled_in_camel_case() -> None:
    """Both spellings have been seen."""
    reply = get(small_cloud(behaviour=Behaviour(camel_case_errors=True)), SESSIONS, "")
    assert reply.json()["code"] == "MissingParameter.regionId"


def test_session_clusters_can_be_filtered() -> None:
    """By id, queue and kind."""
    cloud = small_cloud(clusters=3)
    cloud.world.change_cluster("w-1", "sc-0001", kind="THRIFT", queue="q ü")
    for query in ("kind=THRIFT", "queueName=q%20%C3%BC", "sessionClusterId=sc-0001"):
        text = "&".join(sorted([query, REGION]))
        rows = get(cloud, CLUSTERS, text).json()["sessionClusters"]
        assert [row["sessionClusterId"] for row in rows] == ["sc-0001"]


def test_secrets_are_served_where_the_real_service_has_them() -> None:
    """Otherwise no test could see that the exporter drops them."""
    cloud = small_cloud(sessions=1, clusters=1)
    text = get(cloud, CLUSTERS).body + get(cloud, SESSIONS).body
    assert [s for s in SENTINELS[:3] if s.encode() not in text] == []


@given(nano=st.integers(0, 2**63))
def test_cu_hours_are_exact(nano: int) -> None:
    """Read as a decimal, the number is the nano-CU-hours over 10^9, without loss."""
    text = SimulatedSession("w", "lc", "s", 0, usage=SimulatedUsage(nano, 0, 0)).text
    assert json.loads(text, parse_float=Decimal)["cuHours"] * 10**9 == nano


def test_a_row_can_lie() -> None:
    """Numbers that are none, wrong types, missing fields, text that is no JSON object."""
    cloud = small_cloud(sessions=5)
    lies: list[Any] = [
        {"cuHours": math.nan, "vcoreSeconds": "12", "mbSeconds": None},
        {"cuHours": -math.inf, "createTime": ABSENT},
        {"name": "cut \ud800", "state": 7},
        '{"cuHours": 1e999}',
        "null",
    ]
    for n, raw in enumerate(lies):
        cloud.world.change_session(SessionKey("w-1", "lc-1", f"livy-{n}", n), raw=raw)
    rows = list(reversed(page(cloud, 1).json()["sessions"]))
    assert math.isnan(rows[0]["cuHours"])
    assert (rows[0]["vcoreSeconds"], rows[0]["mbSeconds"]) == ("12", None)
    assert rows[1]["cuHours"] == -math.inf
    assert "createTime" not in rows[1]
    assert (rows[2]["name"], rows[2]["state"]) == ("cut \ud800", 7)
    assert rows[3] == {"cuHours": math.inf}
    assert rows[4] is None


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        (Encoding.UTF8, '"空\\ud800"'.encode()),
        (Encoding.ASCII, b'"\\u7a7a\\ud800"'),
        (Encoding.INVALID_UTF8, '"空'.encode() + b'\xed\xa0\x80"'),
    ],
)
def test_text_can_be_encoded_in_every_way(encoding: Encoding, expected: bytes) -> None:
    """Lone surrogates become escapes, or bytes that no strict decoder takes."""
    cloud = small_cloud(behaviour=Behaviour(encoding=encoding))
    cloud.world.put_gateway(SimulatedGateway("w-1", "lc-1", name="空\ud800"))
    assert b'"name":' + expected in get(cloud, GATEWAYS).body


def test_requests_side_by_side_are_all_answered() -> None:
    """The calls are remembered with what became of them."""
    cloud = small_cloud(sessions=30)

    async def many() -> list[int]:
        requests = [with_signature(unsigned(SESSIONS)) for _ in range(20)]
        replies = await asyncio.gather(*(ask_async(cloud, each) for each in requests))
        return [reply.status for reply in replies]

    assert asyncio.run(many()) == [200] * 20
    assert {replace(c, own_token="") for c in cloud.calls} == {
        Call(
            action="ListLivyComputeSessions",
            workspace_id="w-1",
            compute_id="lc-1",
            time=cloud.clock(),
            status=200,
            code="OK",
            rows=20,
        )
    }
    assert cloud.counters == {("ListLivyComputeSessions", "OK"): 20}


@pytest.mark.parametrize("order", HistoryOrder)
def test_the_order_of_a_list_is_kept_when_rows_come_and_go(order: HistoryOrder) -> None:
    """Rows that stay never change places, and every order serves every row."""
    world = World(order=order, seed=3)
    world.put_workspace(SimulatedWorkspace("w-1"))
    world.put_gateway(SimulatedGateway("w-1", "lc-1"))
    for n in range(60):
        world.put_session(SimulatedSession("w-1", "lc-1", f"livy-{n}", n))
    before = [row.session_id for row in world.history("w-1", "lc-1")]
    dropped = {row.session_id for row in world.trim_oldest("w-1", "lc-1", 10)}
    dropped |= {row.session_id for row in world.trim_before("w-1", "lc-1", 20)}
    assert dropped == {f"livy-{n}" for n in range(20)}
    world.put_session(SimulatedSession("w-1", "lc-1", "livy-30", 99))
    after = [row for row in world.history("w-1", "lc-1") if row.create_time_ms != 99]
    assert [row.session_id for row in after] == [i for i in before if i not in dropped]
    assert len(world.history("w-1", "lc-1")) == 41
    if order is not HistoryOrder.SHUFFLED:
        times = [row.create_time_ms for row in world.sessions()]
        assert times == sorted(times, reverse=order is HistoryOrder.NEWEST_FIRST)
