"""Where credentials come from: static ones, or the vendor's library in a thread.

Traps of that library, each seen by running it (`alibabacloud-credentials` 1.0): it reads the
environment once, when imported, which takes 0.1 s and 12 MB; its async API blocks the event loop
when two callers refresh at once, so its synchronous one runs in a thread, one caller at a time;
near expiry a failed refresh raises although the credential in hand is still valid; it prints
tracebacks through handlers of its own. It caches a role's credential until it deems it stale, and
an access key for good, so a credential that was rejected, and every access key once a minute, is
replaced by building its providers again.
"""

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from exporter.api.credential_errors import ADVICE, NONE_FOUND, ROLE_ADVICE, describe
from exporter.api.signing import Credential
from exporter.clock import Clock
from exporter.errors import CredentialError, ThreadLimitError

if TYPE_CHECKING:
    from exporter.api.credential_chain import OpenHttp  # importing it reads the environment

_FRESH_SECONDS: Final = 60.0
"""The library is asked again after so long. It renews 15 minutes before an expiry."""


class CredentialSource(Protocol):
    """What the client needs of credentials. Both methods raise `CredentialError`."""

    async def get(self) -> Credential:
        """Return the credential to sign with."""

    async def refresh(self, rejected: Credential) -> Credential:
        """Return another credential than the one that the service has just refused."""


class StaticCredentials:
    """One credential that never changes."""

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    async def get(self) -> Credential:
        """Return the credential."""
        return self._credential

    async def refresh(self, rejected: Credential) -> Credential:
        """Raise `CredentialError` if what was refused is all there is."""
        if rejected == self._credential:
            raise _nothing_newer()
        return self._credential


_ACCESS_KEY: Final = ("ACCESS_KEY_ID", "ACCESS_KEY_SECRET", "SECURITY_TOKEN")

Load = Callable[[], Credential]
"""Blocks until it has a credential; raises anything."""


def connect_library(role_arn: str = "", open_http: "OpenHttp | None" = None) -> Load:
    """Build new providers of the library; call it in a thread only.

    With `role_arn`, that role is assumed with what the default chain finds. `open_http` opens a
    client for a request of the library; without it, the library sends them as it likes.

    The chain begins with the access key of the environment, for which it is not imported.
    """
    key_id, secret, token = (os.environ.get(f"ALIBABA_CLOUD_{name}", "") for name in _ACCESS_KEY)
    if key_id and secret and not role_arn:
        return lambda: Credential(key_id, secret, token, "default/env")
    from exporter.api import credential_chain as chain  # noqa: PLC0415 (0.1 s, and the library reads the environment when imported)

    silence_library()
    if open_http is not None:
        chain.send_through(open_http)
    default = chain.Chain()
    provider = chain.assume(default, role_arn) if role_arn else default

    def load() -> Credential:
        found = provider.get_credentials()
        return Credential(
            access_key_id=found.get_access_key_id() or "",
            access_key_secret=found.get_access_key_secret() or "",
            security_token=found.get_security_token() or "",
            provider=f"default/{found.get_provider_name()}",
        )

    return load


def silence_library() -> None:
    """Take the library's handlers off its logger: they print tracebacks, and all of it twice."""
    logger = logging.getLogger("credentials")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    logger.addHandler(logging.NullHandler())
    logger.propagate = False


class VendorCredentials:
    """The vendor's default chain, and a role to assume with it if `role_arn` is given.

    The last good credential is kept while a renewal fails, until the service refuses it.
    `connect` makes a client of the library; it and what it returns run in a thread.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        role_arn: str = "",
        connect: Callable[[str], Load] = connect_library,
    ) -> None:
        self._clock = clock
        self._role_arn = role_arn
        self._advice = (ROLE_ADVICE.format(role_arn=role_arn) if role_arn else "") + ADVICE
        self._connect = connect
        self._load: Load | None = None
        self._good: Credential | None = None
        self._asked_at = 0.0
        self._flight: asyncio.Future[Credential] | None = None

    async def get(self) -> Credential:
        """Return the credential, asking the library at most once a minute."""
        if self._good is not None and self._clock.monotonic() - self._asked_at < _FRESH_SECONDS:
            return self._good
        try:
            return await self._ask()
        except CredentialError:
            if self._good is None:
                raise
            return self._good

    async def refresh(self, rejected: Credential) -> Credential:
        """Drop what was refused and ask a new client of the library for another."""
        while self._is_asking:  # perhaps for the same reason: many are refused at once
            await self._ask()
        if self._good is not None and self._good != rejected:
            return self._good
        self._good = None
        self._load = None
        found = await self._ask()
        if found == rejected:
            self._good = None
            raise _nothing_newer()
        return found

    async def _ask(self) -> Credential:
        """Ask the library; all who ask meanwhile wait for the same answer.

        A cancelled caller does not stop the thread, so it must not let in the next one either.
        """
        if self._flight is None or self._flight.done():
            self._flight = _run_in_thread(self._load_now, self._keep, self._advice)
        return await asyncio.shield(self._flight)

    @property
    def _is_asking(self) -> bool:
        return self._flight is not None and not self._flight.done()

    def _keep(self, result: Credential | CredentialError) -> None:
        """Note an answer, before anyone can see that there is one."""
        self._asked_at = self._clock.monotonic()
        if isinstance(result, Credential):
            self._good = result

    def _load_now(self) -> Credential:
        """Run in the thread.

        A client that found a lasting key in a file never reads the file again, so it is used
        once: a key that is replaced in the file takes effect without a restart.
        """
        load = self._load or self._connect(self._role_arn)
        self._load = load
        found = load()
        if not found.security_token:
            self._load = None
        return found


def _run_in_thread(
    load: Load, keep: Callable[[Credential | CredentialError], None], advice: str
) -> "asyncio.Future[Credential]":
    """Run in a daemon thread: an executor's would keep the process alive at its end.

    `keep` is given the result first, on the loop's thread; `advice` goes with an error.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Credential] = loop.create_future()

    def settle(result: Credential | CredentialError) -> None:
        keep(result)
        if future.done():
            return
        if isinstance(result, Credential):
            future.set_result(result)
        else:
            future.set_exception(result)
            future.exception()  # read, so that it is not reported if every caller has left

    def run() -> None:
        result = _attempt(load, advice)
        with contextlib.suppress(RuntimeError):  # the loop has closed: no caller waits any more
            loop.call_soon_threadsafe(settle, result)

    try:
        threading.Thread(target=run, name="credentials", daemon=True).start()
    except RuntimeError as error:
        raise CredentialError(str(ThreadLimitError())) from error
    return future


def _attempt(load: Load, advice: str) -> Credential | CredentialError:
    """Return the credential or our error."""
    try:
        return load()
    except CredentialError as error:
        error.advice = error.advice or advice
        return error
    except Exception as error:  # noqa: BLE001 (the library's errors have no common root)
        return CredentialError(f"{NONE_FOUND} ({describe(error)})", advice=advice)


def _nothing_newer() -> CredentialError:
    return CredentialError(
        "The service refuses the credential, and there is no newer one",
        advice="Renew it; temporary credentials expire. " + ADVICE,
    )
