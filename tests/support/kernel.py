"""A kernel that lacks something: runs a program under a seccomp filter, without a compiler.

`python tests/support/kernel.py ipv6 PROGRAM ...` refuses sockets of IPv6, and
`python tests/support/kernel.py threads PROGRAM ...` refuses to start threads, as a limit on
processes does.
"""

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Sequence

_LOAD, _JUMP_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x45, 0x06
_NUMBER, _FIRST_ARGUMENT = 0, 16
"""Offsets in `struct seccomp_data`, on machines that are little-endian."""
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_AF_INET6, _CLONE_THREAD = 10, 0x10000
_SYSTEM_CALLS = {
    "x86_64": {"socket": 41, "clone": 56, "clone3": 435},
    "aarch64": {"socket": 198, "clone": 220, "clone3": 435},
}
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2

Instruction = tuple[int, int, int, int]


def filters(lacking: str) -> Sequence[Instruction]:
    """Write the program of a filter: code, jump if true, jump if false, operand."""
    calls = _SYSTEM_CALLS[platform.machine()]
    if lacking == "ipv6":
        return (
            (_LOAD, 0, 0, _NUMBER),
            (_JUMP_EQUAL, 0, 3, calls["socket"]),
            (_LOAD, 0, 0, _FIRST_ARGUMENT),
            (_JUMP_EQUAL, 0, 1, _AF_INET6),
            (_RETURN, 0, 0, _ERRNO | errno.EAFNOSUPPORT),
            (_RETURN, 0, 0, _ALLOW),
        )
    return (
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_EQUAL, 0, 1, calls["clone3"]),  # the C library falls back on clone
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
        (_JUMP_EQUAL, 0, 3, calls["clone"]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_JUMP_SET, 0, 1, _CLONE_THREAD),
        (_RETURN, 0, 0, _ERRNO | errno.EAGAIN),
        (_RETURN, 0, 0, _ALLOW),
    )


def install(program: Sequence[Instruction]) -> None:
    """Filter the system calls of this process and of what it becomes. Raises `OSError`."""
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    for call in ((_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (_PR_SET_SECCOMP, _MODE_FILTER, header, 0, 0)):
        if libc.prctl(*call) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    install(filters(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - the test's own command
