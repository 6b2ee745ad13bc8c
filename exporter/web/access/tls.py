"""TLS as the file asks for it, in the terms of Python's `ssl`."""

import ipaddress
import os
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.web.access.schema import TlsSection

Find = Callable[[str, str], Path]
"""Gives the path of the file that a key names, once it is known that it can be read."""


class TlsProblem(Exception):  # noqa: N818  the error is that of the file it stands in
    """Why the section cannot be put into force."""


@dataclass(frozen=True, slots=True)
class Tls:
    """What a new connection is secured with."""

    context: ssl.SSLContext
    allowed_sans: frozenset[str] | None = None
    """The names of which a client's certificate must bear one; `None` for no such demand."""

    def admits(self, certificate: dict[str, Any] | None) -> bool:
        """Tell whether a client with this certificate (of `getpeercert`) is let in."""
        if self.allowed_sans is None:
            return True
        names = (certificate or {}).get("subjectAltName", ())
        return any(_name(kind, value) in self.allowed_sans for kind, value in names)


def tls(section: TlsSection, folder: Path, consulted: set[Path]) -> Tls:
    """Build what `section` asks for; relative names of files are looked up in `folder`.

    Each file is added to `consulted` before it is read. Raises `TlsProblem`.
    """

    def find(key: str, name: str) -> Path:
        path = folder / name
        consulted.add(path)
        try:
            with path.open("rb"):
                return path
        except OSError as error:
            raise TlsProblem(f"{key} {path}: {error.strerror}") from None

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    _set_versions(context, section)
    _set_ciphers(context, section)
    _set_certificate(context, section, find)
    _set_client_auth(context, section, find)
    sans = section.client_allowed_sans
    return Tls(context, None if sans is None else frozenset(map(_plain_name, sans)))


def _set_versions(context: ssl.SSLContext, section: TlsSection) -> None:
    for key, version in (("min", section.min_version), ("max", section.max_version)):
        if version not in _VERSIONS:
            raise TlsProblem(
                f"{key}_version: {version} is broken and no longer offered by OpenSSL;"
                " give TLS12 or TLS13"
            )
    context.minimum_version = _VERSIONS[section.min_version]
    context.maximum_version = _VERSIONS[section.max_version]
    if context.minimum_version > context.maximum_version:
        raise TlsProblem("min_version is above max_version")


_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}


def _set_ciphers(context: ssl.SSLContext, section: TlsSection) -> None:
    unknown = [name for name in section.cipher_suites if name not in _CIPHERS]
    if unknown:
        raise TlsProblem(
            f"cipher_suites: {', '.join(unknown)}: not among the secure suites of Go"
            " (crypto/tls.CipherSuites); remove it"
        )
    # Those of TLS 1.3 cannot be chosen, neither here nor in Go.
    older = [_CIPHERS[name] for name in section.cipher_suites if _CIPHERS[name]]
    if older:
        context.set_ciphers(":".join(older))
    elif section.cipher_suites:
        if context.maximum_version < ssl.TLSVersion.TLSv1_3:
            raise TlsProblem("cipher_suites: none is of TLS 1.2, which max_version asks for")
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    if not section.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if len(section.curve_preferences) > 1:
        raise TlsProblem("curve_preferences: Python's ssl takes one curve only; give one, or none")
    for curve in section.curve_preferences:
        context.set_ecdh_curve(_CURVES[curve])


_CIPHERS = {
    "TLS_AES_128_GCM_SHA256": "",
    "TLS_AES_256_GCM_SHA384": "",
    "TLS_CHACHA20_POLY1305_SHA256": "",
    **{
        f"TLS_ECDHE_{key}_WITH_{suite}": f"ECDHE-{key}-{name}"
        for key in ("ECDSA", "RSA")
        for suite, name in (
            ("AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
            ("AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
            ("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"),
            ("AES_128_CBC_SHA", "AES128-SHA"),
            ("AES_256_CBC_SHA", "AES256-SHA"),
        )
    },
}
"""OpenSSL's names of the suites by Go's; empty for those of TLS 1.3."""

_CURVES = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}


def _set_certificate(context: ssl.SSLContext, section: TlsSection, find: Find) -> None:
    def refuse_to_ask() -> bytes:
        raise TlsProblem("the key is encrypted; give one without a passphrase")

    with ExitStack() as stack:
        chain, key = (
            _source(section, name, find) or stack.enter_context(_as_file(getattr(section, name)))
            for name in ("cert", "key")
        )
        try:
            context.load_cert_chain(chain, key, refuse_to_ask)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise TlsProblem("the key is not that of the certificate") from None
            raise TlsProblem("certificate or key is not in PEM, or damaged") from None


def _source(section: TlsSection, key: str, find: Find) -> Path | None:
    """Give the file of a certificate or key; `None` where it is given inline."""
    inline, name = getattr(section, key), getattr(section, f"{key}_file")
    if inline and name:
        raise TlsProblem(f"{key} and {key}_file are both given; give one")
    if not inline and not name:
        raise TlsProblem(f"{key}_file is missing; give it, or {key}")
    return find(f"{key}_file", name) if name else None


@contextmanager
def _as_file(text: str) -> Iterator[Path]:
    """Show a text as a file, which is all that Python's ssl reads a key from."""
    if hasattr(os, "memfd_create"):  # no key of a reader's file system lies on another one
        with os.fdopen(os.memfd_create("pem"), "wb") as file:
            file.write(text.encode())
            file.flush()
            yield Path(f"/proc/self/fd/{file.fileno()}")
    else:
        with tempfile.NamedTemporaryFile() as file:
            file.write(text.encode())
            file.flush()
            yield Path(file.name)


def _set_client_auth(context: ssl.SSLContext, section: TlsSection, find: Find) -> None:
    kind = section.client_auth_type
    if kind in {"RequireAnyClientCert", "RequireClientCert"}:
        raise TlsProblem(
            f"client_auth_type: {kind} lets in whoever makes a certificate of his own, and Python's"
            " ssl always verifies; give RequireAndVerifyClientCert"
        )
    is_verified = kind in {"VerifyClientCertIfGiven", "RequireAndVerifyClientCert"}
    if (section.client_ca or section.client_ca_file) and not is_verified:
        raise TlsProblem(f"a client CA is given, and client_auth_type {kind} does not use it")
    if section.client_allowed_sans is not None and kind != "RequireAndVerifyClientCert":
        raise TlsProblem("client_allowed_sans needs client_auth_type RequireAndVerifyClientCert")
    if is_verified:
        _load_client_ca(context, section, find)
        is_needed = kind == "RequireAndVerifyClientCert"
        context.verify_mode = ssl.CERT_REQUIRED if is_needed else ssl.CERT_OPTIONAL


def _load_client_ca(context: ssl.SSLContext, section: TlsSection, find: Find) -> None:
    if not section.client_ca and not section.client_ca_file:
        raise TlsProblem(
            f"client_auth_type {section.client_auth_type} needs client_ca_file: without it any"
            " public authority could let clients in"
        )
    source = _source(section, "client_ca", find)
    try:
        context.load_verify_locations(cafile=source, cadata=None if source else section.client_ca)
    except (ssl.SSLError, ValueError):
        raise TlsProblem("client_ca holds no certificates in PEM") from None


def _name(kind: str, value: str) -> str:
    return _plain_name(value.strip()) if kind == "IP Address" else value


def _plain_name(value: str) -> str:
    """Write an IP address in its one canonical form; leave other names as they are."""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        return value
