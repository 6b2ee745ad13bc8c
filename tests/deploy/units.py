"""The unit of systemd, read as systemd reads it; as far as the tests need."""

import errno
import shlex
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.support.repository import ROOT

FOLDER = ROOT / "deploy" / "systemd"
UNIT = FOLDER / "emr-serverless-spark-exporter.service"
PROGRAM = "/opt/emr-exporter/bin/emr-serverless-spark-exporter"


def directives(text: str) -> dict[str, list[str]]:
    """Return the values of each directive, in order; sections share no names here."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, is_directive, value = line.partition("=")
        if is_directive and not line.startswith(("#", ";", "[")):
            found.setdefault(name, []).append(value)
    return found


def environment_file(text: str) -> dict[str, str]:
    """Return the variables of an environment file, without the quotes around values."""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    pairs = (line.partition("=") for line in lines)
    return {name: "".join(shlex.split(value)) for name, _, value in pairs}


def environment(given: Mapping[str, list[str]], folder: Path) -> dict[str, str]:
    """Return what the unit itself sets, with its folders below `folder`."""
    variables = {}
    for each in given["Environment"]:
        name, _, value = each.partition("=")
        variables[name] = value.replace("%d", str(folder / "credentials"))
    return variables


def working_directory(given: Mapping[str, list[str]], folder: Path) -> Path:
    """Return where the unit runs, with its folders below `folder`; only there it may write."""
    (state,), (working,) = given["StateDirectory"], given["WorkingDirectory"]
    assert working == f"%S/{state}"
    return folder / state


def command(given: Mapping[str, list[str]]) -> list[str]:
    """Return the words of the command line."""
    (line,) = given["ExecStart"]
    return shlex.split(line)


_ALLOW = "SCMP_ACT_ALLOW"
_PROT_WRITE, _PROT_EXEC = 2, 4


def seccomp_profile(
    given: Mapping[str, list[str]], members: Callable[[str], set[str]]
) -> dict[str, Any]:
    """Write what the unit forbids as a profile for containers, so that the kernel enforces it.

    `members` gives the system calls of one of systemd's groups. Beside SystemCallFilter these are
    RestrictAddressFamilies, RestrictNamespaces and MemoryDenyWriteExecute, as systemd does them.
    """
    allowed: set[str] = set()
    for line in given["SystemCallFilter"]:
        for group in line.removeprefix("~").split():
            allowed = allowed - members(group) if line[0] == "~" else allowed | members(group)
    limited = {"socket", "mmap", "mprotect", "pkey_mprotect", "unshare", "setns"}
    (families,) = given["RestrictAddressFamilies"]
    rules: list[dict[str, Any]] = [{"names": sorted(allowed - limited), "action": _ALLOW}]
    rules += [
        _rule("socket", 0, int(getattr(socket, family)), "SCMP_CMP_EQ")
        for family in families.split()
    ]
    for call, bits in (("mmap", _PROT_WRITE), ("mmap", _PROT_EXEC), ("mprotect", _PROT_EXEC)):
        rules.append(_rule(call, 2, bits, "SCMP_CMP_MASKED_EQ"))
    return {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": errno.EPERM, "syscalls": rules}


def _rule(call: str, index: int, value: int, operator: str) -> dict[str, Any]:
    """Allow a call by an argument: where it is a value, or where none of the bits is set."""
    argument = {"index": index, "value": value, "valueTwo": 0, "op": operator}
    return {"names": [call], "action": _ALLOW, "args": [argument]}
