import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exporter.demo import Refusal
from exporter.demo.refusals import Refused
from exporter.demo.signature import (
    Request,
    canonical_path,
    canonical_query,
    canonical_request,
    check_signature,
    parse_authorization,
    sign,
)

FILE = json.loads(
    (Path(__file__).parents[1] / "fixtures/api/signing_vectors.json").read_text(encoding="utf-8")
)
FORMS = ("sdk_full_headers", "minimal_headers")
VECTORS = [
    pytest.param(vector, form, id=f"{vector['name']}-{form}")
    for vector in FILE["vectors"]
    for form in FORMS
]


def request_of(vector: dict[str, Any], form: str) -> Request:
    """Write the request of a vector."""
    headers = vector[form]["signed_headers"]
    return Request("GET", vector["canonical_uri"], vector["canonical_query"], headers)


@pytest.mark.parametrize(("vector", "form"), VECTORS)
def test_a_request_signed_by_the_vendors_code_verifies(vector: dict[str, Any], form: str) -> None:
    """Each vector passes as it is, and yields the vendor's canonical request."""
    request = request_of(vector, form)
    authorization = parse_authorization(vector[form]["authorization"])
    check_signature(request, authorization, vector["access_key_secret"])
    expected = vector[form]["canonical_request"]
    assert canonical_request(request, authorization.signed_headers) == expected


@pytest.mark.parametrize(("vector", "form"), VECTORS)
def test_a_request_with_any_part_changed_is_refused(vector: dict[str, Any], form: str) -> None:
    """The method, the path, the query, any signed header, the body, the secret: all count."""
    request = request_of(vector, form)
    authorization = parse_authorization(vector[form]["authorization"])
    secret = vector["access_key_secret"]
    spoiled = [
        replace(request, method="POST"),
        replace(request, path=request.path + "x"),
        replace(request, query="a=b"),
        replace(request, body=b"{}"),
        *(
            replace(request, headers={**request.headers, name: value + "0"})
            for name, value in request.headers.items()
        ),
    ]
    for each in spoiled:
        with pytest.raises(Refused):
            check_signature(each, authorization, secret)
    with pytest.raises(Refused):
        check_signature(request, authorization, secret + "0")


def test_the_example_that_the_vendor_published_is_reproduced() -> None:
    """The documentation's own numbers come out."""
    vector = FILE["documentation_vector"]
    authorization = parse_authorization(vector["authorization"])
    query = "&".join(f"{key}={value}" for key, value in vector["query"].items())
    request = Request("POST", vector["canonical_uri"], query, vector["headers"])
    text = canonical_request(request, authorization.signed_headers)
    assert text == vector["canonical_request"]
    assert sign(text, vector["access_key_secret"]) == authorization.signature


@pytest.mark.parametrize(
    ("wire", "canonical"),
    [
        ("", ""),
        ("b=2&a=1", "a=1&b=2"),
        ("a", "a="),
        ("a=b+c", "a=b%2Bc"),
        ("a=%2a%7e", "a=%2A~"),
        ("a=%E9%98%9F", "a=%E9%98%9F"),
        ("a=x/y=z", "a=x%2Fy%3Dz"),
    ],
)
def test_a_query_has_one_canonical_form(wire: str, canonical: str) -> None:
    """Keys are sorted, and exactly the unreserved characters of RFC 3986 stay."""
    assert canonical_query(wire) == canonical


def test_a_path_is_encoded_segment_by_segment() -> None:
    """An encoded slash stays in its segment."""
    assert canonical_path("/a%2Fb/c d/~e%2a") == "/a%2Fb/c%20d/~e%2A"


@pytest.mark.parametrize(
    "text", ["", "ACS3-HMAC-SHA256", "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=b,Signature=xyz"]
)
def test_a_malformed_authorization_is_refused(text: str) -> None:
    """What cannot be taken apart is incomplete."""
    with pytest.raises(Refused) as refused:
        parse_authorization(text)
    assert isinstance(refused.value.refusal, Refusal)
    assert refused.value.refusal.code == "IncompleteSignature"
