import asyncio
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest

from exporter.api.credentials import StaticCredentials, VendorCredentials
from exporter.api.signing import Credential
from exporter.errors import CredentialError
from tests.api.fakes import FakeClock

T = TypeVar("T")

OLD = Credential("LTAIold", "sentinel-1", "sentinel-token-1")
NEW = Credential("LTAInew", "sentinel-2", "sentinel-token-2")


@dataclass
class Library:
    """Stands for the vendor's library: gives prepared results in turn, the last one for ever."""

    results: list[Credential | Exception]
    connected: list[str] = field(default_factory=list)
    asked: int = 0
    inside: int = 0
    most_inside: int = 0
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def connect(self, role_arn: str) -> Callable[[], Credential]:
        """Note which role was asked for."""
        self.connected.append(role_arn)
        return self.load

    def load(self) -> Credential:
        """Answer, or raise; slowly if the gate is shut."""
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        self.gate.wait(10)
        self.inside -= 1
        self.asked += 1
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, Exception):
            raise result
        return result


def run(
    library: Library, use: Callable[[VendorCredentials, FakeClock], Awaitable[T]], role: str = ""
) -> T:
    """Use credentials on an event loop of their own."""

    async def main() -> T:
        clock = FakeClock()
        source = VendorCredentials(clock, role_arn=role, connect=library.connect)
        return await use(source, clock)

    return asyncio.run(main())


def test_the_library_is_asked_once_a_minute() -> None:
    """Requests in quick succession share an answer; a minute later it is asked again."""
    library = Library([OLD, NEW])

    async def use(source: VendorCredentials, clock: FakeClock) -> list[Credential]:
        first = [await source.get(), await source.get()]
        await clock.sleep(61)
        return [*first, await source.get()]

    assert run(library, use, role="acs:ram::1:role/x") == [OLD, OLD, NEW]
    assert library.connected == ["acs:ram::1:role/x"]


ROTATION = """
import asyncio, json, pathlib, sys
from exporter.api.credentials import VendorCredentials
from tests.api.fakes import FakeClock

file = pathlib.Path.home() / ".aliyun" / "config.json"
file.parent.mkdir()

def write(key_id):
    profile = {"name": "p", "mode": "AK", "access_key_id": key_id, "access_key_secret": "sentinel"}
    file.write_text(json.dumps({"current": "p", "profiles": [profile]}))

async def main():
    clock = FakeClock()
    source = VendorCredentials(clock)
    for key_id in ("LTAIold", "LTAInew"):
        write(key_id)
        print((await source.get()).access_key_id)
        await clock.sleep(61)

asyncio.run(main())
"""


@pytest.mark.process
def test_an_access_key_may_be_replaced_in_its_file(tmp_path: Path) -> None:
    """A key that is rotated on the disk is found within a minute, by the vendor's own library."""
    done = subprocess.run(
        [sys.executable, "-c", ROTATION],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    assert done.stdout.split() == ["LTAIold", "LTAInew"]


def test_one_caller_at_a_time() -> None:
    """All who ask at once wait for one answer."""
    library = Library([OLD])

    async def use(source: VendorCredentials, _clock: FakeClock) -> list[Credential]:
        return await asyncio.gather(*(source.get() for _ in range(20)))

    assert run(library, use) == [OLD] * 20
    assert (library.asked, library.most_inside) == (1, 1)


def test_a_caller_that_leaves_lets_no_second_one_in() -> None:
    """A cancelled caller does not stop the thread, so the next one waits for the same answer."""
    library = Library([OLD])
    library.gate.clear()

    async def use(source: VendorCredentials, _clock: FakeClock) -> Credential:
        leaver = asyncio.ensure_future(source.get())
        await asyncio.sleep(0)
        leaver.cancel()
        await asyncio.gather(leaver, return_exceptions=True)
        waiter = asyncio.ensure_future(source.get())
        await asyncio.sleep(0)
        library.gate.set()
        return await waiter

    assert run(library, use) == OLD
    assert (library.asked, library.most_inside) == (1, 1)


def test_the_last_good_credential_is_kept() -> None:
    """While a renewal fails, the credential in hand is used, and the library left in peace."""
    library = Library([OLD, OSError("sts is down"), NEW])

    async def use(source: VendorCredentials, clock: FakeClock) -> list[Credential]:
        found = [await source.get()]
        for _ in range(2):
            await clock.sleep(61)
            found += [await source.get(), await source.get()]
        return found

    assert run(library, use) == [OLD, OLD, OLD, NEW, NEW]
    assert library.asked == 3


def test_a_refused_credential_is_dropped() -> None:
    """A refused credential is replaced by asking a new client of the library."""
    library = Library([OLD, NEW])

    async def use(source: VendorCredentials, _clock: FakeClock) -> list[Credential]:
        return [await source.refresh(await source.get()), await source.get()]

    assert run(library, use) == [NEW, NEW]
    assert library.connected == ["", ""]


def test_a_credential_that_was_renewed_meanwhile_is_kept() -> None:
    """Who was refused with an old credential gets the one that another caller has renewed."""
    library = Library([NEW])

    async def use(source: VendorCredentials, _clock: FakeClock) -> Credential:
        await source.get()
        return await source.refresh(OLD)

    assert run(library, use) == NEW
    assert library.asked == 1


def test_a_refused_credential_is_not_used_again() -> None:
    """Where the library has no other credential, that is an error, now and for the next call."""
    library = Library([OLD, OLD, OSError()])

    async def use(source: VendorCredentials, _clock: FakeClock) -> None:
        await source.get()
        with pytest.raises(CredentialError, match="no newer one"):
            await source.refresh(OLD)
        with pytest.raises(CredentialError, match="No credential could be found"):
            await source.get()

    run(library, use)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError("sentinel"), r"\(OSError\)"),
        (RuntimeError('403: {"Code":"NoPermission","Message":"sentinel"}'), "said NoPermission"),
        (KeyError("sentinel"), r"\(KeyError\)"),
    ],
)
def test_an_error_of_the_library_is_ours(error: Exception, said: str) -> None:
    """Whatever the library raises is our error, which says what to set and quotes nothing."""
    library = Library([error])

    async def use(source: VendorCredentials, _clock: FakeClock) -> None:
        await source.get()

    with pytest.raises(CredentialError, match=said) as caught:
        run(library, use)

    shown = "".join(traceback.format_exception(caught.value)) + caught.value.advice
    assert "sentinel" not in shown
    assert "ALIBABA_CLOUD_ACCESS_KEY_ID" in caught.value.advice
    assert "RRSA" in caught.value.advice


def test_a_role_that_cannot_be_assumed_is_named() -> None:
    """A key may well be there: what is missing then is a right, or the way to STS."""
    role = "acs:ram::1234567890123456:role/spark-reader"

    async def use(source: VendorCredentials, _clock: FakeClock) -> None:
        await source.get()

    with pytest.raises(CredentialError) as caught:
        run(Library([OSError()]), use, role)

    assert caught.value.advice.startswith(f"Grant sts:AssumeRole on {role}")


def test_static_credentials() -> None:
    """A fixed credential is given for ever, until it is the one that was refused."""
    source = StaticCredentials(NEW)

    assert asyncio.run(source.get()) == NEW
    assert asyncio.run(source.refresh(OLD)) == NEW
    with pytest.raises(CredentialError, match="no newer one"):
        asyncio.run(source.refresh(NEW))


SCRIPT = """
import asyncio, logging, sys
logging.basicConfig(level=logging.DEBUG)
from exporter.api.credentials import VendorCredentials
from exporter.clock import SystemClock
from exporter.errors import CredentialError
assert "alibabacloud_credentials" not in sys.modules

async def main():
    try:
        found = await VendorCredentials(SystemClock(), role_arn=sys.argv[1]).get()
    except CredentialError as error:
        print("error:", error, "|", error.advice)
    else:
        print("found:", found, found.access_key_secret, found.security_token)
        assert "Tea" not in sys.modules

asyncio.run(main())
logging.getLogger("credentials").error("printed by the library")
"""


def run_real(role_arn: str = "", **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run the vendor's own library in a process of its own: it reads the environment once."""
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, role_arn],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )


@pytest.mark.process
def test_access_key_of_the_environment_needs_no_library() -> None:
    """Key, secret and token come out, in the library's words, without the cost of importing it."""
    done = run_real(
        ALIBABA_CLOUD_ACCESS_KEY_ID="LTAIreal",
        ALIBABA_CLOUD_ACCESS_KEY_SECRET="sentinel-secret",
        ALIBABA_CLOUD_SECURITY_TOKEN="sentinel-token",
    )

    assert done.stdout == (
        "found: Credential(access_key_id='LTAIreal', provider='default/env') "
        "sentinel-secret sentinel-token\n"
    )
    assert "sentinel" not in done.stderr


@pytest.mark.process
@pytest.mark.parametrize("role_arn", ["", "acs:ram::1:role/x"])
def test_the_real_library_without_a_credential(role_arn: str) -> None:
    """Where nothing is set, the error says what to set; there is no traceback."""
    done = run_real(role_arn)

    assert done.stdout.startswith("error: No credential could be found or renewed")
    assert "ALIBABA_CLOUD_OIDC_TOKEN_FILE" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "printed by the library" not in done.stderr


@pytest.mark.process
def test_the_vendors_library_is_imported_late() -> None:
    """Importing the package leaves alone the library, which is slow and reads the environment."""
    script = "import sys, exporter.api; print('alibabacloud_credentials' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=50
    )

    assert done.stdout == "False\n"
