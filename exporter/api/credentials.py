"""Where credentials come from.

Traps of the vendor's library, each seen by running it (`alibabacloud-credentials` 1.0):
it reads the environment once, when imported, which takes 0.3 s; its async API blocks the event
loop when two callers refresh at once, so its synchronous one runs in a thread, one caller at a
time; near expiry a failed refresh raises although the credential in hand is still valid; it
prints tracebacks through handlers of its own. It caches a role's credential until it deems it
stale, and an access key for good, so a credential that was rejected, and every access key once a
minute, is replaced by asking a new client.
"""

import asyncio
import contextlib
import logging
import re
import threading
from collections.abc import Callable
from typing import Final, Protocol

from exporter.api.signing import Credential
from exporter.clock import Clock
from exporter.errors import CredentialError, ThreadLimitError

_FRESH_SECONDS: Final = 60.0
"""The library is asked again after so long. It renews 15 minutes before an expiry."""

_SESSION_NAME: Final = "emr-serverless-spark-exporter"
_CODE: Final = re.compile(r"\"?\bCode\"?\s*[:=]\s*\"?([A-Za-z][A-Za-z.]{2,63})\b")

ADVICE: Final = (
    "Set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET (and "
    "ALIBABA_CLOUD_SECURITY_TOKEN for a temporary credential); in ACK use RRSA: "
    "ALIBABA_CLOUD_ROLE_ARN, ALIBABA_CLOUD_OIDC_PROVIDER_ARN, ALIBABA_CLOUD_OIDC_TOKEN_FILE; "
    "or use a profile of the Alibaba Cloud CLI, or an ECS RAM role."
)
_ROLE_ADVICE: Final = (
    "Allow sts:AssumeRole on {role_arn} to the credential that is found, name that identity in "
    "the role's trust policy, and let STS be reached. Where there is no credential: "
)


class CredentialSource(Protocol):
    """What the client needs of credentials. Both methods raise `CredentialError`."""

    async def get(self) -> Credential:
        """Give the credential to sign with."""

    async def refresh(self, rejected: Credential) -> Credential:
        """Give another credential than the one that the service has just refused."""


class StaticCredentials:
    """One credential that never changes."""

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    async def get(self) -> Credential:
        """Give the credential."""
        return self._credential

    async def refresh(self, rejected: Credential) -> Credential:
        """Raise `CredentialError` if what was refused is all there is."""
        if rejected == self._credential:
            raise _nothing_newer()
        return self._credential


Load = Callable[[], Credential]
"""Blocks until it has a credential; raises anything."""


def connect_library(role_arn: str = "") -> Load:
    """Make a fresh client of the vendor's library; call it in a thread only.

    With `role_arn`, that role is assumed with what the default chain finds.
    """
    from alibabacloud_credentials.client import Client  # noqa: PLC0415 (0.3 s, and it reads the environment when imported)
    from alibabacloud_credentials.provider import (  # noqa: PLC0415
        DefaultCredentialsProvider,
        RamRoleArnCredentialsProvider,
    )

    silence_library()
    provider = DefaultCredentialsProvider()
    if role_arn:
        provider = RamRoleArnCredentialsProvider(
            credentials_provider=provider, role_arn=role_arn, role_session_name=_SESSION_NAME
        )
    client = Client(provider=provider)

    def load() -> Credential:
        found = client.get_credential()
        return Credential(
            access_key_id=found.access_key_id or "",
            access_key_secret=found.access_key_secret or "",
            security_token=found.security_token or "",
            provider=found.provider_name or "",
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
        self._advice = (_ROLE_ADVICE.format(role_arn=role_arn) if role_arn else "") + ADVICE
        self._connect = connect
        self._load: Load | None = None
        self._good: Credential | None = None
        self._asked_at = 0.0
        self._flight: asyncio.Future[Credential] | None = None

    async def get(self) -> Credential:
        """Give the credential, asking the library at most once a minute."""
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

        A client that found a lasting key in a file never looks at the file again, so it serves
        once: whoever replaces the key there need not restart the exporter.
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
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result)

    try:
        threading.Thread(target=run, name="credentials", daemon=True).start()
    except RuntimeError as error:
        raise CredentialError(str(ThreadLimitError())) from error
    return future


def _attempt(load: Load, advice: str) -> Credential | CredentialError:
    """Give the credential or our error. The library's text may quote an answer: it is dropped."""
    try:
        return load()
    except CredentialError as error:
        return error
    except Exception as error:  # noqa: BLE001 (the library's errors have no common root)
        code = _CODE.search(str(error))
        said = f"; the service said {code[1]}" if code else ""
        return CredentialError(
            f"No credential could be found or renewed ({type(error).__name__}{said})",
            advice=advice,
        )


def _nothing_newer() -> CredentialError:
    return CredentialError(
        "The service refuses the credential, and there is no newer one",
        advice="Renew it; a temporary one expires. " + ADVICE,
    )
