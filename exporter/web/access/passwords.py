"""Checks of passwords: slow on purpose, so off the event loop, one at a time, and remembered."""

import asyncio
import base64
import binascii
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import bcrypt

from exporter.web.access.turns import PushedOutError, Turns

_REMEMBERED: Final = 100
_BCRYPT_BYTES: Final = 72
"""bcrypt sees no more of a password, and other implementations silently cut it there."""


class NotCheckedError(Exception):
    """The password could not be checked: too many others are, or there is no thread for it."""


class _Login(NamedTuple):
    user: str
    password: bytes


class Passwords:
    """Tells whose password is right.

    A user who does not exist takes as long to refuse as one who does. A right password is
    remembered by a salted digest of it and of the hash it fits, so a changed file asks again;
    a wrong one is never remembered.
    """

    def __init__(self) -> None:
        self._salt = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._turns = Turns()

    async def admit(
        self,
        users: Mapping[str, bytes],
        authorization: str,
        peer: str = "",
        is_gone: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Return whether an `Authorization` header fits one of the hashes of `users`.

        A client that `is_gone` by its turn is not checked. Raises `NotCheckedError`.
        """
        login = _login(authorization)
        if login is None:
            return False
        known = users.get(login.user)
        hashed = known or _nobody(users)
        digest = self._digest(login, hashed)
        if known and self._is_remembered(digest):
            return True
        try:
            async with self._turns.turn(peer):
                if known and self._is_remembered(digest):
                    return True  # another client with the same password was first
                if is_gone():
                    return False
                is_right = await asyncio.to_thread(_fits, login.password, hashed)
        except (PushedOutError, RuntimeError):  # the latter: no thread can be started
            raise NotCheckedError from None
        if known is None or not is_right:
            return False
        self._remember(digest)
        return True

    def _digest(self, login: _Login, hashed: bytes) -> bytes:
        digest = hashlib.blake2b(key=self._salt, digest_size=32)
        for part in (login.user.encode(), hashed, login.password):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
        return digest.digest()

    def _is_remembered(self, digest: bytes) -> bool:
        if digest not in self._right:
            return False
        self._right.move_to_end(digest)
        return True

    def _remember(self, digest: bytes) -> None:
        self._right[digest] = None
        if len(self._right) > _REMEMBERED:
            self._right.popitem(last=False)


def _login(authorization: str) -> _Login | None:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        plain = base64.b64decode(token.strip(), validate=True)
        user, colon, password = plain.partition(b":")
        return _Login(user.decode(), password) if colon else None
    except (binascii.Error, ValueError):
        return None


def _nobody(users: Mapping[str, bytes]) -> bytes:
    """Return a hash that nothing fits, of the one cost that those of `users` have."""
    cost = next(iter(users.values()))[4:6]
    return b"$2b$%s$%s" % (cost, b"." * 53)


def _fits(password: bytes, hashed: bytes) -> bool:
    try:
        return bcrypt.checkpw(password[:_BCRYPT_BYTES], hashed)
    except ValueError:  # a hash whose salt is no valid base64 fits nothing
        return False
