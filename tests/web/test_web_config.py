"""The file of the exporter-toolkit: what is taken, and what is refused in which words."""

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from exporter.errors import WebConfigError
from exporter.web.access import WebConfig
from exporter.web.access.file import read
from tests.support.web_server import ALICE, write_ca, write_certificate, write_config

CA = trustme.CA()
PAIR = {"cert_file": "server.crt", "key_file": "server.key"}

SAMPLE = """\
# TLS and basic authentication configuration example.
#
# Additionally, a certificate and a key file are needed.
tls_server_config:
  cert_file: server.crt
  key_file: server.key

# Usernames and passwords required to connect.
# Passwords are hashed with bcrypt: the toolkit says how.
basic_auth_users:
  alice: $2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze
  bob: $2y$10$hLqFl9jSjoAAy95Z/zw8Ye8wkdMBM8c5Bn1ptYqP/AXyV0.oy0S8m
"""
"""The toolkit's `docs/web-config.yml`."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with a certificate, its key, and an authority for clients."""
    write_certificate(tmp_path, CA)
    write_ca(tmp_path, CA)
    return tmp_path


def taken(folder: Path, content: dict[str, Any]) -> WebConfig:
    """Read a file that is good."""
    return read(write_config(folder, content), set())


def refused(folder: Path, content: dict[str, Any]) -> str:
    """Read a file that is bad; give the one line that says why, without the name of the file."""
    path = write_config(folder, content)
    with pytest.raises(WebConfigError) as caught:
        read(path, set())
    (problem,) = caught.value.problems
    assert "\n" not in problem
    return problem.removeprefix(f"{path}: ").replace(f"{folder}/", "")


def test_the_sample_of_the_toolkit_is_taken(folder: Path) -> None:
    """What its documentation offers to copy works."""
    path = folder / "web.yml"
    path.write_text(SAMPLE)
    consulted: set[Path] = set()
    config = read(path, consulted)
    assert config.tls is not None
    assert config.users.keys() == {"alice", "bob"}
    assert consulted == {path, folder / "server.crt", folder / "server.key"}


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "tls_server_config:\n", "basic_auth_users: {}"]
)
def test_an_empty_file_asks_for_nothing(tmp_path: Path, text: str) -> None:
    """As in the toolkit, such a file means plain HTTP for everybody."""
    path = tmp_path / "web.yml"
    path.write_text(text)
    config = read(path, set())
    assert (config.tls, config.users, config.headers, config.bucket) == (None, {}, (), None)


@pytest.mark.parametrize("kind", ["NoClientCert", "RequestClientCert"])
def test_certificates_that_nobody_looks_at_are_not_asked_for(folder: Path, kind: str) -> None:
    """Everybody gets in with any certificate or none, so none is asked for."""
    config = taken(folder, {"tls_server_config": {**PAIR, "client_auth_type": kind}})
    assert config.tls is not None
    assert config.tls.context.verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("VerifyClientCertIfGiven", ssl.CERT_OPTIONAL),
        ("RequireAndVerifyClientCert", ssl.CERT_REQUIRED),
    ],
)
@pytest.mark.parametrize("is_inline", [False, True])
def test_certificates_of_clients_are_verified(
    folder: Path, kind: str, mode: ssl.VerifyMode, is_inline: object
) -> None:
    """The authority stands in a file or in the configuration itself."""
    text = CA.cert_pem.bytes().decode()
    given = {"client_ca": text} if is_inline else {"client_ca_file": "ca.crt"}
    config = taken(folder, {"tls_server_config": {**PAIR, **given, "client_auth_type": kind}})
    assert config.tls is not None
    assert config.tls.context.verify_mode is mode
    assert len(config.tls.context.get_ca_certs()) == 1


def test_versions_and_suites_are_set(folder: Path) -> None:
    """Go's names are translated to OpenSSL's."""
    section = {
        **PAIR,
        "min_version": "TLS12",
        "max_version": "TLS12",
        "cipher_suites": [
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            "TLS_AES_128_GCM_SHA256",
        ],
        "prefer_server_cipher_suites": False,
        "curve_preferences": ["X25519"],
    }
    config = taken(folder, {"tls_server_config": section})
    assert config.tls is not None
    context = config.tls.context
    assert context.maximum_version is ssl.TLSVersion.TLSv1_2
    older = [each["name"] for each in context.get_ciphers() if each["protocol"] != "TLSv1.3"]
    assert older == ["ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-GCM-SHA256"]
    assert not context.options & ssl.OP_CIPHER_SERVER_PREFERENCE


def test_suites_of_tls_13_alone_mean_tls_13(folder: Path) -> None:
    """As with Go, no older version finds a suite then."""
    section = {**PAIR, "cipher_suites": ["TLS_AES_256_GCM_SHA384"]}
    config = taken(folder, {"tls_server_config": section})
    assert config.tls is not None
    assert config.tls.context.minimum_version is ssl.TLSVersion.TLSv1_3


def test_a_pair_may_stand_in_the_file_itself(tmp_path: Path) -> None:
    """The certificate and its key need no files of their own."""
    issued = CA.issue_cert("localhost")
    chain = "".join(blob.bytes().decode() for blob in issued.cert_chain_pems)
    section = {"cert": chain, "key": issued.private_key_pem.bytes().decode()}
    assert taken(tmp_path, {"tls_server_config": section}).tls is not None


def test_headers_and_http2_are_taken(tmp_path: Path) -> None:
    """HTTP/2 is allowed in the toolkit by default; that it is not spoken here does no harm."""
    headers = {"X-Frame-Options": "deny", "X-XSS-Protection": 1, "X-Content-Type-Options": ""}
    config = taken(tmp_path, {"http_server_config": {"http2": True, "headers": headers}})
    assert config.headers == ((b"x-frame-options", b"deny"), (b"x-xss-protection", b"1"))


MUTUAL = {"client_auth_type": "RequireAndVerifyClientCert"}

BAD_TLS: list[tuple[dict[str, Any], str]] = [
    ({"cert_file": ""}, "cert_file is missing; give it, or cert"),
    ({"key_file": None}, "key_file is missing; give it, or key"),
    ({"cert_file": "none.crt"}, "cert_file none.crt: No such file or directory"),
    ({"cert": "x"}, "cert and cert_file are both given; give one"),
    ({"key_file": "ca.crt"}, "certificate or key is not in PEM, or damaged"),
    ({"key_file": "other.key"}, "the key is not that of the certificate"),
    ({"key_file": "locked.key"}, "the key is encrypted; give one without a passphrase"),
    (
        {"min_version": "TLS10"},
        "min_version: TLS10 is broken and no longer offered by OpenSSL; give TLS12 or TLS13",
    ),
    ({"min_version": "TLS13", "max_version": "TLS12"}, "min_version is above max_version"),
    (
        {"cipher_suites": ["TLS_RSA_WITH_AES_128_CBC_SHA"]},
        (
            "cipher_suites: TLS_RSA_WITH_AES_128_CBC_SHA: not among the secure suites of Go"
            " (crypto/tls.CipherSuites); remove it"
        ),
    ),
    (
        {"cipher_suites": ["TLS_AES_128_GCM_SHA256"], "max_version": "TLS12"},
        "cipher_suites: none is of TLS 1.2, which max_version asks for",
    ),
    (
        {"curve_preferences": ["CurveP256", "X25519"]},
        "curve_preferences: Python's ssl takes one curve only; give one, or none",
    ),
    (
        {"client_auth_type": "RequireAnyClientCert"},
        (
            "client_auth_type: RequireAnyClientCert lets in whoever makes a certificate of his own,"
            " and Python's ssl always verifies; give RequireAndVerifyClientCert"
        ),
    ),
    (
        MUTUAL,
        (
            "client_auth_type RequireAndVerifyClientCert needs client_ca_file: without it any"
            " public authority could let clients in"
        ),
    ),
    ({**MUTUAL, "client_ca": "x"}, "client_ca holds no certificates in PEM"),
    (
        {"client_ca_file": "ca.crt"},
        "a client CA is given, and client_auth_type NoClientCert does not use it",
    ),
    (
        {"client_allowed_sans": ["a"]},
        "client_allowed_sans needs client_auth_type RequireAndVerifyClientCert",
    ),
]


@pytest.mark.parametrize(("more", "problem"), BAD_TLS)
def test_tls_that_cannot_be_had_is_refused_with_a_reason(
    folder: Path, more: dict[str, Any], problem: str
) -> None:
    """One line, which names the key and says what to give."""
    write_certificate(folder, CA, stem="other")
    (folder / "locked.key").write_bytes(locked())
    content = {"tls_server_config": {**PAIR, **more}}
    assert refused(folder, content) == f"tls_server_config: {problem}"


BAD: list[tuple[dict[str, Any], str]] = [
    ({"tls_server_confg": {}}, "tls_server_confg: unknown key; did you mean tls_server_config?"),
    (
        {"tls_server_config": {"cert_fil": "x"}},
        "tls_server_config.cert_fil: unknown key; did you mean tls_server_config.cert_file?",
    ),
    (
        {"http_server_config": {"http3": True}},
        "http_server_config.http3: unknown key; did you mean http_server_config.http2?",
    ),
    ({"zzz": 1}, "zzz: unknown key; remove it"),
    (
        {"basic_auth_excluded_paths": ["/-/healthy"]},
        (
            "basic_auth_excluded_paths: this key is of an unpublished toolkit; the health endpoints"
            " ask for no password unless web.health-auth is set"
        ),
    ),
    (
        {"tls_server_config": "x"},
        "tls_server_config: give a mapping of keys such as tls_server_config.cert",
    ),
    ({"tls_server_config": {"cipher_suites": "x"}}, "tls_server_config.cipher_suites: give a list"),
    (
        {"tls_server_config": {"min_version": "TLS14"}},
        "tls_server_config.min_version: give TLS10, TLS11, TLS12 or TLS13",
    ),
    (
        {"basic_auth_users": {"alice": "plain"}},
        "basic_auth_users.alice: give a bcrypt hash, such as `htpasswd -nBC 10 NAME` prints",
    ),
    ({"basic_auth_users": {"alice": None}}, "basic_auth_users.alice: give a text"),
    (
        {"basic_auth_users": {"alice": ALICE.replace("$04$", "$31$")}},
        "basic_auth_users.alice: give a hash of a cost from 4 to 16",
    ),
    (
        {"http_server_config": {"headers": {"Server": "x"}}},
        (
            "http_server_config.headers: Server cannot be set; there are Content-Security-Policy,"
            " Strict-Transport-Security, X-Content-Type-Options, X-Frame-Options, X-XSS-Protection"
        ),
    ),
    (
        {"http_server_config": {"headers": {"X-Frame-Options": "x"}}},
        "http_server_config.headers: X-Frame-Options: give deny or sameorigin",
    ),
    (
        {"http_server_config": {"headers": {"Content-Security-Policy": "a\r\nb: c"}}},
        "http_server_config.headers: Content-Security-Policy: give printable ASCII on one line",
    ),
    (
        {"rate_limit": {"interval": "1s"}},
        "rate_limit: with an interval, give a burst of at least 1, or nothing gets in",
    ),
]


@pytest.mark.parametrize(("content", "problem"), BAD)
def test_what_is_no_such_file_is_refused_with_a_reason(
    tmp_path: Path, content: dict[str, Any], problem: str
) -> None:
    """One line, which names the key and says what to give."""
    assert refused(tmp_path, content) == problem


def locked() -> bytes:
    """Make a key that asks for a passphrase."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: b: c\n", "{path}, line 1: invalid YAML: mapping values are not allowed here"),
        (
            "basic_auth_users:\n  a: x\n  a: y\n",
            "{path}, line 3: the key a is given twice; give it once",
        ),
        (
            "rate_limit: {burst: 1, burst: 2}\n",
            "{path}, line 1: the key burst is given twice; give it once",
        ),
        ("- a\n", "{path}: give a mapping of keys such as tls_server_config"),
        ("a: " + "[" * 3000, "{path}, line 1: it is nested more than 20 levels deep"),
        ("rate_limit: {burst: 3.0}\n", "{path}: rate_limit.burst: give a whole number"),
        ("rate_limit: {burst: on}\n", "{path}: rate_limit.burst: give a whole number"),
    ],
)
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    """The line is named where YAML knows it."""
    path = tmp_path / "web.yml"
    path.write_text(text)
    with pytest.raises(WebConfigError) as caught:
        read(path, set())
    assert caught.value.problems == (problem.format(path=path),)


@pytest.mark.parametrize("name", ["0123", "yes", "1:30", "2024-01-01", "~"])
def test_a_user_is_called_what_was_written(tmp_path: Path, name: str) -> None:
    """Names that look like numbers, dates or truth values stay what they are."""
    path = tmp_path / "web.yml"
    path.write_text(f"basic_auth_users:\n  {name}: {'$2y$10$' + 'a' * 53}\n")
    assert list(read(path, set()).users) == [name]


def test_a_refused_value_is_not_repeated(folder: Path) -> None:
    """Keys and hashes stay out of messages."""
    said = refused(folder, {"basic_auth_users": {"alice": "hunter2"}})
    assert "hunter2" not in said
