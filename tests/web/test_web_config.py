"""The file of the exporter-toolkit: what is taken, and what is refused in which words."""

import os
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
    """Return a folder with a certificate, its key, and an authority for clients."""
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


def test_sample_file_of_the_exporter_toolkit_is_accepted(folder: Path) -> None:
    """Users copy it from its documentation."""
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
def test_empty_file_means_plain_http_without_password(tmp_path: Path, text: str) -> None:
    """As in the exporter-toolkit."""
    path = tmp_path / "web.yml"
    path.write_text(text)
    config = read(path, set())
    assert (config.tls, config.users, config.headers, config.bucket) == (None, {}, {}, None)


def test_empty_tls_section_means_plain_http_and_an_incomplete_one_is_refused(folder: Path) -> None:
    """An operator who configures TLS gets it, or an error that names what is missing."""
    assert taken(folder, {"tls_server_config": {}}).tls is None
    said = refused(folder, {"tls_server_config": {"cert_file": ""}})
    assert said == "tls_server_config: cert_file is missing; set it"


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("VerifyClientCertIfGiven", ssl.CERT_OPTIONAL),
        ("RequireAndVerifyClientCert", ssl.CERT_REQUIRED),
    ],
)
def test_client_auth_types_set_the_verify_mode(
    folder: Path, kind: str, mode: ssl.VerifyMode
) -> None:
    """Certificates are verified against the CA that the file names, and no other."""
    section = {**PAIR, "client_ca_file": "ca.crt", "client_auth_type": kind}
    config = taken(folder, {"tls_server_config": section})
    assert config.tls is not None
    assert config.tls.verify_mode is mode
    assert len(config.tls.get_ca_certs()) == 1


def test_tls_versions_are_set_and_only_aead_cipher_suites_are_offered(folder: Path) -> None:
    """`prefer_server_cipher_suites` has no effect, as in the exporter-toolkit."""
    section = {**PAIR, "max_version": "TLS12", "prefer_server_cipher_suites": False}
    config = taken(folder, {"tls_server_config": section})
    assert config.tls is not None
    assert config.tls.maximum_version is ssl.TLSVersion.TLSv1_2
    suites = config.tls.get_ciphers()
    assert {suite["protocol"] for suite in suites} == {"TLSv1.2", "TLSv1.3"}
    assert all(suite["aead"] for suite in suites)
    assert {suite["kea"] for suite in suites} == {"kx-ecdhe", "kx-any"}


def test_headers_and_http2_settings_are_accepted(tmp_path: Path) -> None:
    """The exporter-toolkit enables HTTP/2 by default; here the setting has no effect."""
    headers = {"X-Frame-Options": "deny", "X-XSS-Protection": 1, "X-Content-Type-Options": ""}
    config = taken(tmp_path, {"http_server_config": {"http2": True, "headers": headers}})
    assert config.headers == {"X-Frame-Options": "deny", "X-XSS-Protection": "1"}


def test_header_sent_by_default_is_not_sent_twice(tmp_path: Path) -> None:
    """`nosniff` is on every response anyway."""
    headers = {"X-Content-Type-Options": "nosniff"}
    assert taken(tmp_path, {"http_server_config": {"headers": headers}}).headers == {}


MUTUAL = {"client_auth_type": "RequireAndVerifyClientCert"}

BAD_TLS: list[tuple[dict[str, Any], str]] = [
    ({"cert_file": ""}, "cert_file is missing; set it"),
    ({"key_file": None}, "key_file is missing; set it"),
    ({"cert_file": "none.crt"}, "cert_file none.crt: No such file or directory"),
    ({"cert_file": "fifo"}, "cert_file fifo: not a regular file"),
    ({"key_file": "folder"}, "key_file folder: not a regular file"),
    ({"key_file": "huge.key"}, "key_file huge.key: larger than 1 MiB"),
    ({"key_file": "-----BEGIN PRIVATE KEY-----\nMII"}, "key_file: give the path of a file"),
    ({"key_file": "MII\nMII"}, "key_file: give the path of a file"),
    ({"key_file": "ca.crt"}, "certificate or key is not valid PEM"),
    ({"key_file": "other.key"}, "the key does not belong to the certificate"),
    ({"key_file": "locked.key"}, "the key is encrypted; use a key without a passphrase"),
    ({"min_version": "TLS13", "max_version": "TLS12"}, "min_version is above max_version"),
    (MUTUAL, "client_ca_file is missing; set it"),
    ({**MUTUAL, "client_ca_file": "fifo"}, "client_ca_file fifo: not a regular file"),
    ({**MUTUAL, "client_ca_file": "server.key"}, "client_ca_file contains no PEM certificates"),
    (
        {"client_ca_file": "ca.crt"},
        (
            "client_ca_file has no effect with client_auth_type NoClientCert;"
            " give RequireAndVerifyClientCert"
        ),
    ),
]


@pytest.mark.parametrize(("more", "problem"), BAD_TLS)
def test_unusable_tls_settings_are_refused_with_a_reason(
    folder: Path, more: dict[str, Any], problem: str
) -> None:
    """One line, which names the key and says what to give."""
    write_certificate(folder, CA, stem="other")
    (folder / "locked.key").write_bytes(locked())
    (folder / "huge.key").write_bytes(b"#" * 2**20 + b"##")
    (folder / "folder").mkdir()
    os.mkfifo(folder / "fifo")
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
            "basic_auth_excluded_paths: no released exporter-toolkit has this key; the health "
            "endpoints require no password unless web.health-auth is set"
        ),
    ),
    (
        {"tls_server_config": "x"},
        "tls_server_config: give a mapping of keys such as tls_server_config.cert_file",
    ),
    (
        {"tls_server_config": {"min_version": "TLS10"}},
        "tls_server_config.min_version: give TLS12 or TLS13",
    ),
    (
        {"tls_server_config": {"client_auth_type": "RequireAnyClientCert"}},
        (
            "tls_server_config.client_auth_type: give NoClientCert, VerifyClientCertIfGiven or"
            " RequireAndVerifyClientCert"
        ),
    ),
    (
        {"tls_server_config": {"cert": "-----BEGIN"}},
        ("tls_server_config.cert: PEM in this file is not supported; name a file with cert_file"),
    ),
    (
        {"tls_server_config": {"cipher_suites": ["TLS_AES_128_GCM_SHA256"]}},
        (
            "tls_server_config.cipher_suites: cipher suites cannot be configured (all that are "
            "offered use AEAD); remove it"
        ),
    ),
    (
        {"tls_server_config": {"curve_preferences": ["X25519"]}},
        "tls_server_config.curve_preferences: curves cannot be configured; remove it",
    ),
    (
        {"tls_server_config": {"client_allowed_sans": ["prometheus"]}},
        (
            "tls_server_config.client_allowed_sans: client names are not checked; sign the "
            "certificates of allowed clients with a CA of their own, and set client_ca_file to it"
        ),
    ),
    (
        {"basic_auth_users": {"alice": "plain"}},
        "basic_auth_users.alice: give a bcrypt hash, such as `htpasswd -nBC 10 NAME` prints",
    ),
    ({"basic_auth_users": {"alice": None}}, "basic_auth_users.alice: give a text"),
    (
        {"basic_auth_users": {"alice": ALICE, "bob": ALICE.replace("$04$", "$10$")}},
        ("basic_auth_users: give all hashes the same cost, such as `htpasswd -nBC 10 NAME` does"),
    ),
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
def test_invalid_file_is_refused_with_a_reason(
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
def test_file_that_is_not_a_mapping_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    """With the line, if the YAML parser reports it."""
    path = tmp_path / "web.yml"
    path.write_text(text)
    with pytest.raises(WebConfigError) as caught:
        read(path, set())
    assert caught.value.problems == (problem.format(path=path),)


@pytest.mark.parametrize("name", ["0123", "yes", "1:30", "2024-01-01", "~"])
def test_user_names_are_kept_as_written(tmp_path: Path, name: str) -> None:
    """Also those that YAML would read as numbers, dates or booleans."""
    path = tmp_path / "web.yml"
    path.write_text(f"basic_auth_users:\n  {name}: {'$2y$10$' + 'a' * 53}\n")
    assert list(read(path, set()).users) == [name]


def test_error_does_not_quote_the_refused_value(folder: Path) -> None:
    """It may be a key or a password hash."""
    said = refused(folder, {"basic_auth_users": {"alice": "hunter2"}})
    assert "hunter2" not in said
