"""TLS as the file asks for it, in the terms of Python's `ssl`."""

import os
import ssl
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from exporter.settings.notation import check_file_path
from exporter.web.access.file_schema import TlsSection

Find = Callable[[str, str], Path]
"""Returns the path of the file that a key names, once it is known that it can be read."""

_MAX_BYTES: Final = 2**20
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: those with forward secrecy and AEAD. All of TLS 1.3 have both."""
_VERSIONS: Final = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}


class TlsProblem(Exception):  # noqa: N818  the error is that of the file that has the section
    """Why the section cannot be put into force."""


def server_context(section: TlsSection, folder: Path, consulted: set[Path]) -> ssl.SSLContext:
    """Build what `section` asks for; relative names of files are looked up in `folder`.

    Each file is added to `consulted` before it is read. Raises `TlsProblem`.
    """

    def find(key: str, name: str) -> Path:
        if not name:
            raise TlsProblem(f"{key} is missing; set it")
        try:
            check_file_path(name)
        except ValueError as error:  # whose text does not repeat the name: it may be a key
            raise TlsProblem(f"{key}: {error}") from None
        path = folder / name
        consulted.add(path)
        try:
            _check(path)
        except OSError as error:
            raise TlsProblem(f"{key} {path}: {error.strerror}") from None
        return path

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.minimum_version = _VERSIONS[section.min_version]
    context.maximum_version = _VERSIONS[section.max_version]
    if context.minimum_version > context.maximum_version:
        raise TlsProblem("min_version is above max_version")
    _set_certificate(context, section, find)
    _set_client_auth(context, section, find)
    return context


def _check(path: Path) -> None:
    """Raise `OSError` unless this is a small file that can be read; never wait for it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(0, "not a regular file")
    if status.st_size > _MAX_BYTES:
        raise OSError(0, "larger than 1 MiB")


def _set_certificate(context: ssl.SSLContext, section: TlsSection, find: Find) -> None:
    def refuse_to_ask() -> bytes:
        raise TlsProblem("the key is encrypted; use a key without a passphrase")

    chain, key = find("cert_file", section.cert_file), find("key_file", section.key_file)
    try:
        context.load_cert_chain(chain, key, refuse_to_ask)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise TlsProblem("the key does not belong to the certificate") from None
        raise TlsProblem("certificate or key is not valid PEM") from None


def _set_client_auth(context: ssl.SSLContext, section: TlsSection, find: Find) -> None:
    kind = section.client_auth_type
    if kind == "NoClientCert":
        if section.client_ca_file:
            raise TlsProblem(
                "client_ca_file has no effect with client_auth_type NoClientCert;"
                " give RequireAndVerifyClientCert"
            )
        return
    try:
        context.load_verify_locations(find("client_ca_file", section.client_ca_file))
    except ssl.SSLError:
        raise TlsProblem("client_ca_file contains no PEM certificates") from None
    is_required = kind == "RequireAndVerifyClientCert"
    context.verify_mode = ssl.CERT_REQUIRED if is_required else ssl.CERT_OPTIONAL
