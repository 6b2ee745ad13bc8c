from dataclasses import replace
from email.utils import parsedate_to_datetime

import pytest

from exporter.demo.signature import Request
from tests.support.cloud_client import (
    CLUSTERS,
    KEY_ID,
    NOW,
    REGION,
    SESSIONS,
    WORKSPACES,
    Clock,
    ask,
    get,
    small_cloud,
    unsigned,
    with_signature,
)


def refusal(request: Request) -> tuple[int, str | None]:
    """Return the status and the code with which a new cloud refuses a request."""
    reply = ask(small_cloud(), request)
    return reply.status, reply.code


def test_a_good_request_is_admitted() -> None:
    """The minimal set of headers is enough."""
    assert get(small_cloud(), CLUSTERS).status == 200


def test_a_signature_with_another_secret_is_refused() -> None:
    """The secret decides."""
    request = with_signature(unsigned(CLUSTERS), secret="other")
    cloud = small_cloud()
    assert (ask(cloud, request).status, cloud.calls[-1].code) == (400, "SignatureDoesNotMatch")
    assert cloud.counters == {("ListSessionClusters", "SignatureDoesNotMatch"): 1}


def test_an_unknown_key_is_refused() -> None:
    """The key id is looked up."""
    request = with_signature(unsigned(CLUSTERS), key_id="LTAIother")
    assert refusal(request) == (404, "InvalidAccessKeyId.NotFound")


def test_a_request_without_a_signature_is_refused() -> None:
    """Nobody comes in unsigned."""
    assert refusal(unsigned(CLUSTERS)) == (400, "IncompleteSignature")


@pytest.mark.parametrize("name", ["host", "x-acs-date", "x-acs-action", "x-acs-signature-nonce"])
def test_a_header_that_matters_must_be_signed(name: str) -> None:
    """Host and every x-acs-* header that is sent must be among the signed ones."""
    request = with_signature(unsigned(CLUSTERS), leave=name)
    assert refusal(request) == (400, "SignatureDoesNotMatch")


def test_a_signed_header_must_be_sent() -> None:
    """A header named in SignedHeaders that a proxy took away spoils the signature."""
    request = with_signature(unsigned(CLUSTERS, user_agent="x"))
    del request.headers["user-agent"]  # type: ignore[attr-defined]
    assert refusal(request) == (400, "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    "query",
    [
        "regionId=cn-hangzhou&maxResults=20",
        "maxResults=20&queueName=a+b&regionId=cn-hangzhou",
        "maxResults=20&queueName=%7e&regionId=cn-hangzhou",
        "nextToken&regionId=cn-hangzhou",
    ],
)
def test_a_query_that_is_not_canonical_on_the_wire_is_refused(query: str) -> None:
    """What is sent must be what is signed, although another server might normalise it."""
    assert refusal(with_signature(unsigned(CLUSTERS, query))) == (400, "SignatureDoesNotMatch")


@pytest.mark.parametrize("path", ["/api/v1/workspaces/w*1/sessionClusters", CLUSTERS + "%2d"])
def test_a_path_that_is_not_canonical_on_the_wire_is_refused(path: str) -> None:
    """The same for the path."""
    assert refusal(with_signature(unsigned(path))) == (400, "SignatureDoesNotMatch")


def test_an_id_with_reserved_characters_is_found() -> None:
    """An id is one segment, whatever is in it, newlines included."""
    cloud = small_cloud()
    world = cloud.world
    strange = "w /+\n空"
    world.put_workspace(replace(world.workspaces()[0], workspace_id=strange))
    path = "/api/v1/workspaces/w%20%2F%2B%0A%E7%A9%BA/sessionClusters"
    assert get(cloud, path).status == 200
    assert cloud.calls[-1].workspace_id == strange


def test_a_nonce_is_good_for_one_request() -> None:
    """A replayed request is refused; a refused one has not used up its nonce."""
    cloud = small_cloud()
    request = unsigned(CLUSTERS)
    assert ask(cloud, with_signature(request, secret="other")).code == "SignatureDoesNotMatch"
    assert ask(cloud, with_signature(request)).status == 200
    assert ask(cloud, with_signature(request)).code == "SignatureNonceUsed"


@pytest.mark.parametrize(("drift", "status"), [(899, 200), (-899, 200), (901, 400), (-901, 400)])
def test_the_clock_may_be_15_minutes_off(drift: float, status: int) -> None:
    """Beyond that the date is expired, and the Date header tells the service's own time."""
    reply = get(small_cloud(clock=Clock(NOW + drift)), CLUSTERS)
    assert reply.status == status
    assert parsedate_to_datetime(reply.headers["date"]).timestamp() == NOW + drift
    if status == 400:
        assert reply.code == "InvalidTimeStamp.Expired"


def test_a_date_in_another_form_is_refused() -> None:
    """Only the documented form counts."""
    request = with_signature(unsigned(CLUSTERS, x_acs_date="Fri, 29 May 2026 00:00:00 GMT"))
    assert refusal(request) == (400, "InvalidTimeStamp.Format")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x_acs_security_token": "good", "x_acs_accesskey_id": KEY_ID}, None),
        ({"x_acs_security_token": "old", "x_acs_accesskey_id": KEY_ID}, "InvalidSecurityToken"),
        ({"x_acs_security_token": "good"}, "MissingAccessKeyId"),
        ({}, "MissingSecurityToken"),
    ],
)
def test_a_temporary_key_needs_its_token(headers: dict[str, str], code: str | None) -> None:
    """The token must be the present one, and name its key."""
    reply = get(small_cloud(security_tokens={KEY_ID: "good"}), CLUSTERS, **headers)
    assert reply.status == (200 if code is None else 400)
    assert code is None or (reply.code or "").startswith(code)


def test_a_token_with_a_permanent_key_is_refused() -> None:
    """A token belongs to its key."""
    request = with_signature(unsigned(CLUSTERS, x_acs_security_token="some"))
    assert refusal(request) == (400, "InvalidSecurityToken.MismatchWithAccessKey")


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (CLUSTERS, {"x_acs_action": "ListWorkspaces"}),
        (CLUSTERS, {"x_acs_version": "2023-08-09"}),
        ("/api/v1/elsewhere", {}),
        (CLUSTERS + "/", {}),
    ],
)
def test_action_version_and_path_must_fit(path: str, headers: dict[str, str]) -> None:
    """A mismatch is an API that does not exist."""
    request = with_signature(unsigned(path, **headers))
    assert refusal(request) == (404, "InvalidApi.NotFound")


@pytest.mark.parametrize("path", [CLUSTERS, SESSIONS, WORKSPACES])
@pytest.mark.parametrize("query", ["", "regionId="])
def test_the_region_is_mandatory(path: str, query: str) -> None:
    """Every call names its region."""
    request = with_signature(unsigned(path, query))
    assert refusal(request) == (400, "MissingParameter.regionId")


def test_a_denied_action_names_itself() -> None:
    """A missing permission is 403, for that action only."""
    cloud = small_cloud(denied_actions={"ListSessionClusters"})
    reply = get(cloud, CLUSTERS)
    assert (reply.status, reply.code) == (403, "Forbidden.RAM")
    assert "emr-serverless-spark:ListSessionClusters" in reply.json()["Message"]
    assert get(cloud, SESSIONS).status == 200


def test_requests_beyond_the_rate_are_refused_and_counted() -> None:
    """The window slides on the service's clock."""
    clock = Clock()
    cloud = small_cloud(clock=clock, rate_limit=2)
    codes = [get(cloud, CLUSTERS, REGION).status for _ in range(3)]
    assert (codes, cloud.rate_limit.refused) == ([200, 200, 400], 1)
    clock.now += 1
    assert get(cloud, CLUSTERS).status == 200
    assert cloud.counters["ListSessionClusters", "Throttling.User"] == 1
