import json
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.api.signing import Credential, Signer, canonical_query, canonical_request, encode_path
from exporter.errors import CredentialError

FIXTURES = json.loads(
    (Path(__file__).parents[1] / "fixtures/api/signing_vectors.json").read_text(encoding="utf-8")
)
VECTORS = {vector["name"]: vector for vector in FIXTURES["vectors"]}
DOCUMENTED = FIXTURES["documentation_vector"]


def timestamp(date: str) -> float:
    """Return seconds since 1970."""
    return datetime.fromisoformat(date).timestamp()


def segments(vector: dict[str, Any]) -> list[str]:
    """Return the path of a vector's action."""
    ids = vector["path_params"]
    if vector["action"] == "ListSessionClusters":
        return ["api", "v1", "workspaces", ids["workspaceId"], "sessionClusters"]
    gateway = ids["livyComputeId"]
    return ["api", "v1", "workspaces", ids["workspaceId"], "livycompute", gateway, "session"]


def sign(vector: dict[str, Any], headers: dict[str, str]) -> httpx.Request:
    """Sign as the client does, with a vector's date and nonce, by driving the flow by hand."""
    query = canonical_query(vector["query"])
    path = encode_path(segments(vector)) if "path_params" in vector else vector["canonical_uri"]
    url = f"https://{vector['host']}{path}" + (f"?{query}" if query else "")
    request = httpx.Request(vector["method"], url, headers=headers)
    expected = (
        vector["headers"] if "headers" in vector else vector["minimal_headers"]["signed_headers"]
    )
    credential = Credential(
        vector["access_key_id"], vector["access_key_secret"], vector.get("security_token") or ""
    )
    signer = Signer(
        credential,
        lambda: timestamp(expected["x-acs-date"]),
        lambda: expected["x-acs-signature-nonce"],
    )
    return next(signer.auth_flow(request))


@pytest.mark.parametrize("name", VECTORS)
def test_the_vectors_of_the_vendors_sdk_reproduce(name: str) -> None:
    """Signed text and signature equal those of the vendor's own code."""
    vector = VECTORS[name]

    request = sign(vector, {"x-acs-action": vector["action"], "accept": "application/json"})

    assert canonical_request(request)[1] == vector["minimal_headers"]["canonical_request"]
    assert request.headers["authorization"] == vector["minimal_headers"]["authorization"]


@pytest.mark.parametrize("name", VECTORS)
def test_the_wire_carries_what_was_signed(name: str) -> None:
    """The request target is, byte for byte, the path and query of the signed text."""
    vector = VECTORS[name]

    request = sign(vector, {"x-acs-action": vector["action"]})

    target = request.url.raw_path.decode()
    assert target == "?".join(filter(None, (vector["canonical_uri"], vector["canonical_query"])))


def test_the_vendors_published_example_reproduces() -> None:
    """The signature printed in the vendor's documentation comes out."""
    request = sign(DOCUMENTED, {"x-acs-action": "RunInstances", "x-acs-version": "2014-05-26"})

    assert canonical_request(request)[1] == DOCUMENTED["canonical_request"]
    assert request.headers["authorization"] == DOCUMENTED["authorization"]


def test_every_attempt_has_its_own_nonce_and_date() -> None:
    """Signing the same request again replaces date, nonce and signature."""
    moments = iter([0.0, 61.0])
    signer = Signer(Credential("id", "secret"), lambda: next(moments))
    request = httpx.Request("GET", "https://x/", headers={"x-acs-action": "A"})

    first = dict(next(signer.auth_flow(request)).headers)
    second = dict(next(signer.auth_flow(request)).headers)

    assert (first["x-acs-date"], second["x-acs-date"]) == (
        "1970-01-01T00:00:00Z",
        "1970-01-01T00:01:01Z",
    )
    assert first["x-acs-signature-nonce"] != second["x-acs-signature-nonce"]
    assert first["authorization"] != second["authorization"]


def test_a_proxy_may_change_the_unsigned_headers() -> None:
    """Neither user-agent nor accept is among the signed headers."""
    signer = Signer(Credential("id", "secret", "token"), lambda: 0.0)
    request = httpx.Request("GET", "https://x/", headers={"x-acs-action": "A", "accept": "a"})

    names, _ = canonical_request(next(signer.auth_flow(request)))

    assert names.split(";") == [
        "host",
        "x-acs-accesskey-id",
        "x-acs-action",
        "x-acs-content-sha256",
        "x-acs-date",
        "x-acs-security-token",
        "x-acs-signature-nonce",
        "x-acs-version",
    ]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1))
def test_no_id_leaves_its_segment(parts: list[str]) -> None:
    """Whatever an id holds, httpx sends it as one segment, unchanged."""
    parts = ["x" if part in {".", ".."} else part for part in parts]

    path = encode_path(parts)

    assert path.count("/") == len(parts)
    assert httpx.URL(f"https://x{path}?a=").raw_path.decode() == f"{path}?a="


@pytest.mark.parametrize("segment", ["", ".", ".."])
def test_a_segment_that_addresses_something_else_is_refused(segment: str) -> None:
    """An empty or dotted id would address another resource."""
    with pytest.raises(ValueError, match="not a path segment"):
        encode_path(["api", segment])


@given(
    st.dictionaries(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
)
def test_the_query_survives_httpx(params: dict[str, str]) -> None:
    """What was encoded goes over the wire unchanged."""
    query = canonical_query(params)

    assert httpx.URL(f"https://x/?{query}").query.decode() == query


def test_a_credential_shows_no_secret() -> None:
    """Neither secret nor token is in the text of a credential."""
    shown = repr(Credential("LTAIx", "sentinel-secret", "sentinel-token", "default/env"))

    assert shown == "Credential(access_key_id='LTAIx', provider='default/env')"


@pytest.mark.parametrize(
    "parts",
    [
        ("id\n", "sentinel-secret", ""),
        ("id", "sentinel-secret\n", ""),
        ("id", "sentinel-secret", "sentinel-tok\u00e9n"),
        ("", "sentinel-secret", ""),
        ("id", "", ""),
    ],
)
def test_a_credential_that_cannot_be_sent_is_refused(parts: tuple[str, str, str]) -> None:
    """What cannot stand in a header is refused early, without being quoted."""
    with pytest.raises(CredentialError) as caught:
        Credential(*parts)

    assert "sentinel" not in str(caught.value) + caught.value.advice
