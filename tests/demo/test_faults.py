import json

import pytest

from exporter.demo import Cloud, faults, throttled
from exporter.demo.faults import Canned, Cut, Delay, Effect, Flood, Refuse, Truncate
from tests.support.cloud_client import CLUSTERS, GATEWAYS, REGION, SESSIONS, Reply, get, small_cloud


def struck_by(effect: Effect, path: str = SESSIONS) -> Reply:
    """Return the answer of a cloud with one fault."""
    cloud = small_cloud(sessions=30, clusters=30)
    cloud.faults.add(effect)
    return get(cloud, path)


def statuses(cloud: Cloud, count: int, path: str = SESSIONS) -> list[int]:
    """Ask so many times."""
    return [get(cloud, path).status for _ in range(count)]


@pytest.mark.parametrize(
    ("effect", "status", "code"),
    [
        (faults.THROTTLED, 400, "Throttling.User"),
        (faults.THROTTLED_429, 429, "Throttling.User"),
        (faults.UNAVAILABLE, 503, "ServiceUnavailable"),
        (faults.INTERNAL_ERROR, 500, "InternalError"),
        (faults.FORBIDDEN, 403, "Forbidden.RAM"),
        (faults.EXPIRED_TOKEN, 400, "InvalidSecurityToken.Expired"),
        (faults.CLOCK, 400, "InvalidTimeStamp.Expired"),
        (faults.NONCE_USED, 400, "SignatureNonceUsed"),
    ],
)
def test_errors_have_the_vendors_status_and_code(effect: Effect, status: int, code: str) -> None:
    """And the vendor's body."""
    reply = struck_by(effect)
    assert (reply.status, reply.code) == (status, code)
    assert set(reply.json()) == {"RequestId", "Code", "Message", "HostId", "Recommend"}


def test_throttling_may_say_how_long_to_wait() -> None:
    """In milliseconds in one header, in seconds or as a date in the other."""
    reply = struck_by(Refuse(throttled(retry_after_ms=1500, retry_after="2")))
    assert reply.headers["x-acs-retry-after"] == "1500"
    assert reply.headers["retry-after"] == "2"


@pytest.mark.parametrize(
    ("effect", "body"),
    [
        (faults.EMPTY, b""),
        (faults.NULL, b"null"),
        (faults.LIST, b"[]"),
        (faults.deeply_nested(2), b'{"sessions":[[]]}'),
        (Canned(b"\xff\xfe"), b"\xff\xfe"),
    ],
)
def test_bodies_that_are_no_page_come_with_success(effect: Effect, body: bytes) -> None:
    """As a broken service or a proxy sends them."""
    reply = struck_by(effect)
    assert (reply.status, reply.body) == (200, body)


def test_a_proxys_page_is_html() -> None:
    """With an error status or with success."""
    assert struck_by(faults.HTML).status == 502
    assert struck_by(faults.HTML_200).headers["content-type"] == "text/html"


def test_a_redirect_points_elsewhere() -> None:
    """To see that no client follows it."""
    reply = struck_by(faults.redirect("http://127.0.0.1:1/"))
    assert (reply.status, reply.headers["location"]) == (302, "http://127.0.0.1:1/")


def test_a_cut_body_ends_before_what_was_announced() -> None:
    """The connection closes in the middle."""
    reply = struck_by(Cut())
    assert not reply.is_whole
    assert len(reply.body) == int(reply.headers["content-length"]) // 2


def test_a_truncated_body_is_announced_as_whole() -> None:
    """Only its text is not."""
    reply = struck_by(Truncate())
    assert len(reply.body) == int(reply.headers["content-length"])
    with pytest.raises(json.JSONDecodeError):
        reply.json()


def test_a_flood_streams_so_many_bytes_without_a_length() -> None:
    """A client can refuse it only while reading."""
    reply = struck_by(Flood(1_000_000))
    assert len(reply.body) == 1_000_000
    assert "content-length" not in reply.headers


def test_a_delay_comes_before_another_effect_or_the_page() -> None:
    """It changes nothing else."""
    assert struck_by(Delay(0.0)).status == 200
    assert struck_by(Delay(0.0, then=faults.UNAVAILABLE)).status == 503


def test_pages_can_be_altered() -> None:
    """A wrong count, a failure within success, a token that never ends."""
    assert struck_by(faults.total_count(7)).json()["totalCount"] == 7
    assert struck_by(faults.envelope_code("1000001"), GATEWAYS).json()["code"] == "1000001"
    cloud = small_cloud(clusters=30)
    cloud.faults.add(faults.repeated_token())
    first = get(cloud, CLUSTERS).json()
    token = first["nextToken"].replace("=", "%3D")
    second = get(cloud, CLUSTERS, f"nextToken={token}&{REGION}").json()
    assert second["nextToken"] == first["nextToken"]
    assert second["sessionClusters"] == first["sessionClusters"]


def test_a_fault_strikes_only_what_it_is_about() -> None:
    """By action, workspace, gateway and page."""
    cloud = small_cloud(sessions=30)
    match = {"action": "ListLivyComputeSessions", "workspace_id": "w-1", "compute_id": "lc-1"}
    cloud.faults.add(faults.UNAVAILABLE, **match, page=2)
    assert statuses(cloud, 1) == statuses(cloud, 1, CLUSTERS) == [200]
    assert get(cloud, SESSIONS, f"pageNum=2&{REGION}").status == 503


def test_a_fault_may_begin_late_and_end_soon() -> None:
    """It skips some matching calls and strikes so many; then the next one has its turn."""
    cloud = small_cloud()
    fault = cloud.faults.add(faults.UNAVAILABLE, skip=1, times=2)
    assert statuses(cloud, 5) == [200, 503, 503, 200, 200]
    assert cloud.faults.struck(fault) == 2
    cloud.faults.add(faults.FORBIDDEN)
    assert statuses(cloud, 1) == [403]
    cloud.faults.clear()
    assert statuses(cloud, 1) == [200]


def test_a_fault_may_strike_by_chance_and_by_the_seed() -> None:
    """The same seed strikes the same calls."""
    runs = []
    for seed in (1, 1, 2):
        cloud = small_cloud(seed=seed)
        fault = cloud.faults.add(faults.UNAVAILABLE, probability=0.5)
        runs.append(statuses(cloud, 20))
        cloud.faults.remove(fault)
        assert statuses(cloud, 1) == [200]
    assert runs[0] == runs[1] != runs[2]
    assert {200, 503} == set(runs[0])


def test_an_unsigned_request_meets_no_fault() -> None:
    """The signature comes first: no fault can hide a wrong one."""
    cloud = small_cloud()
    cloud.faults.add(faults.UNAVAILABLE)
    assert get(cloud, SESSIONS, "b=1&a=2").code == "SignatureDoesNotMatch"
