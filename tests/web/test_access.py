"""Passwords, response headers and rate limit of the web config file, and its reload."""

import asyncio
import base64
import contextlib
import os
import time
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import pytest
import trustme
import yaml
from starlette.types import ASGIApp
from structlog.testing import capture_logs

from exporter.web import ReloadingWebConfig
from exporter.web.access import AccessMiddleware
from exporter.web.access.passwords import NotCheckedError, Passwords
from exporter.web.access.token_bucket import TokenBucket
from exporter.web.access.turns import PushedOutError, Turns
from tests.support.harness import NO_TLS
from tests.support.web_server import ALICE, SECRET, hello, write_ca, write_certificate, write_config

pytestmark = pytest.mark.anyio

USERS = {"alice": ALICE.encode()}


def basic(user: str, password: str) -> dict[str, str]:
    """Return the header of a basic-auth login."""
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {token}"}


def client(app: ASGIApp) -> httpx.AsyncClient:
    """Return a client of an application."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://exporter", verify=NO_TLS
    )


def guarded(
    folder: Path, content: dict[str, Any], *, health_auth: bool = False
) -> httpx.AsyncClient:
    """Return a client of a site behind a web configuration."""
    access = ReloadingWebConfig(write_config(folder, content))
    paths = ("/-/healthy", "/-/ready")
    return client(AccessMiddleware(hello(), lambda: access.current, paths, health_auth=health_auth))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (basic("alice", SECRET), 200),
        (basic("alice", "wrong"), 401),
        (basic("alice", ""), 401),
        (basic("alice", f"{SECRET}\0"), 401),
        (basic("mallory", SECRET), 401),
        ({}, 401),
        ({"Authorization": "Basic"}, 401),
        ({"Authorization": "Basic !!!"}, 401),
        ({"Authorization": "Basic YWxpY2U="}, 401),
        ({"Authorization": "Bearer x"}, 401),
        ({"Authorization": "Basic gICAgA=="}, 401),
    ],
)
async def test_metrics_require_the_password(
    tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    """Any other request gets a 401 with a WWW-Authenticate header."""
    async with guarded(tmp_path, {"basic_auth_users": {"alice": ALICE}}) as http:
        response = await http.get("/metrics", headers=headers)
    assert response.status_code == status
    assert ("www-authenticate" in response.headers) == (status == 401)
    assert ("hello" in response.text) == (status == 200)


@pytest.mark.parametrize(
    ("path", "health_auth", "status"),
    [
        ("/-/healthy", False, 200),
        ("/-/ready", False, 200),
        ("/-/healthy", True, 401),
        ("/-/ready/", False, 401),
        ("/%2d/healthy", False, 200),
        ("//-/healthy", False, 401),
        ("/nothing", False, 401),
    ],
)
async def test_health_needs_no_password_unless_health_auth_is_set(
    tmp_path: Path, path: str, health_auth: object, status: int
) -> None:
    """No other spelling of a path gets past the password with it."""
    content = {"basic_auth_users": {"alice": ALICE}}
    async with guarded(tmp_path, content, health_auth=bool(health_auth)) as http:
        assert (await http.get(path)).status_code == status


async def test_all_common_bcrypt_prefixes_are_accepted() -> None:
    """Tools write `2y` (htpasswd), `2b` (most libraries) or `2a`."""
    for kind in (b"2a", b"2b", b"2y"):
        users = {"alice": ALICE.encode().replace(b"$2b$", b"$%s$" % kind)}
        assert await Passwords().admit(users, basic("alice", SECRET)["Authorization"])


async def test_password_is_compared_up_to_72_bytes() -> None:
    """As in the exporter-toolkit: bcrypt hashes no more."""
    users = {"alice": bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4))}
    assert await Passwords().admit(users, basic("alice", "x" * 100)["Authorization"])


async def test_verified_password_is_cached_until_the_hash_changes() -> None:
    """The second scrape does not wait for bcrypt; a changed hash is checked again."""
    passwords = Passwords()
    slow = {"alice": bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(12))}
    login = basic("alice", SECRET)["Authorization"]
    before = time.thread_time(), time.perf_counter()
    assert await passwords.admit(slow, login)
    first = time.perf_counter() - before[1]
    start = time.perf_counter()
    for _ in range(20):
        assert await passwords.admit(slow, login)
    assert (time.perf_counter() - start) / 20 < first / 10
    other = {"alice": bcrypt.hashpw(b"another", bcrypt.gensalt(4))}
    assert not await passwords.admit(other, login)


async def test_password_check_does_not_block_the_event_loop() -> None:
    """Other requests are served while bcrypt works."""
    slow = {"alice": bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(12))}
    check = asyncio.create_task(Passwords().admit(slow, basic("alice", "wrong")["Authorization"]))
    turns = 0
    while not check.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 10


async def test_unknown_user_is_refused_as_slowly_as_a_known_one() -> None:
    """The response time does not reveal which users exist."""
    users = {"alice": bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(10))}
    seconds = {"alice": 0.0, "mallory": 0.0}
    passwords = Passwords()
    for _ in range(5):
        for user in seconds:
            start = time.perf_counter()
            assert not await passwords.admit(users, basic(user, "wrong")["Authorization"])
            seconds[user] += time.perf_counter() - start
    assert 1 / 3 < seconds["alice"] / seconds["mallory"] < 3


async def test_queue_of_password_checks_is_bounded() -> None:
    """A cached password is admitted meanwhile."""
    passwords = Passwords()
    right = basic("alice", SECRET)["Authorization"]
    assert await passwords.admit(USERS, right)
    guesses = [passwords.admit(USERS, basic("alice", str(n))["Authorization"]) for n in range(100)]
    results, admitted = await asyncio.gather(
        asyncio.gather(*guesses, return_exceptions=True), passwords.admit(USERS, right)
    )
    assert admitted
    assert results.count(False) == 65
    assert sum(isinstance(result, NotCheckedError) for result in results) == 35


@pytest.mark.parametrize("name", ["alice", "mallory", "{number}"])
async def test_correct_password_is_admitted_during_a_flood_of_guesses(name: str) -> None:
    """Also the first after a start, from the guessers' address, whatever users they guess."""
    passwords = Passwords()
    users = {"alice": bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(6))}
    guesses = 0

    async def guess(guesser: int) -> None:
        nonlocal guesses
        while True:
            guesses += 1
            user = name.format(number=guesses)
            login = basic(user, f"{guesser}-{guesses}")["Authorization"]
            with contextlib.suppress(NotCheckedError):
                assert not await passwords.admit(users, login, "192.0.2.1")
            await asyncio.sleep(0)

    guessers = [asyncio.create_task(guess(number)) for number in range(60)]
    await asyncio.sleep(0)
    before = guesses
    login = basic("alice", SECRET)["Authorization"]
    assert await passwords.admit(users, login, "192.0.2.1")
    for task in guessers:
        task.cancel()
    await asyncio.gather(*guessers, return_exceptions=True)
    assert guesses - before < 5


async def turns_of(peers: list[str], most: int = 64) -> list[str]:
    """Return the order in which requests that wait at the same time get their turns."""
    turns, order = Turns(most), list[str]()

    async def wait(name: str, peer: str) -> None:
        try:
            async with turns.turn(peer):
                order.append(name)
                await asyncio.sleep(0)
        except PushedOutError:
            order.append(f"{name} pushed out")

    names = [f"{peer}{number}" for number, peer in enumerate(peers)]
    await asyncio.gather(*map(wait, names, peers))
    return order


async def test_addresses_take_turns_newest_request_first() -> None:
    """A flood from one address does not delay another address."""
    assert await turns_of(["a", "a", "a", "b", "a"]) == ["a0", "a4", "b3", "a2", "a1"]


async def test_full_queue_drops_the_oldest_request_of_the_busiest_address() -> None:
    """Its client has most likely given up."""
    order = await turns_of(["a", "b", "a", "a", "a"], 3)
    assert order == ["a0", "a2 pushed out", "b1", "a4", "a3"]


async def test_cancelled_request_does_not_block_the_queue() -> None:
    """Whether it was waiting or had just got its turn."""
    turns = Turns()

    async def wait() -> None:
        async with turns.turn(""):
            pass

    async with turns.turn(""):
        waiting = [asyncio.create_task(wait()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[1].cancel()
    waiting[2].cancel()  # it was given the turn, and does not know it yet
    await asyncio.gather(*waiting, return_exceptions=True)
    assert [task.cancelled() for task in waiting] == [False, True, True]
    async with asyncio.timeout(1):
        await wait()


async def test_password_of_a_disconnected_client_is_not_checked() -> None:
    """Its place goes to the next request at once."""
    passwords = Passwords()
    slow = {"alice": bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(12))}
    login = basic("alice", SECRET)["Authorization"]
    start = time.perf_counter()
    assert not await passwords.admit(slow, login, is_gone=lambda: True)
    assert time.perf_counter() - start < 0.1


async def test_configured_headers_are_on_every_response(tmp_path: Path) -> None:
    """Also on refusals and on 404."""
    content = {
        "basic_auth_users": {"alice": ALICE},
        "http_server_config": {"headers": {"X-Frame-Options": "deny"}},
    }
    async with guarded(tmp_path, content) as http:
        for path in ("/", "/-/healthy", "/nothing"):
            response = await http.get(path)
            assert response.headers["x-frame-options"] == "deny"


async def test_requests_over_the_rate_limit_are_refused(tmp_path: Path) -> None:
    """A burst, then one per interval, as in the exporter-toolkit."""
    async with guarded(tmp_path, {"rate_limit": {"interval": "1h", "burst": 2}}) as http:
        codes = [(await http.get("/")).status_code for _ in range(3)]
    assert codes == [200, 200, 429]


@pytest.mark.parametrize("health_auth", [False, True])
async def test_rate_limit_does_not_apply_to_health_probes(
    tmp_path: Path, health_auth: object
) -> None:
    """Kubernetes would restart the exporter."""
    content = {
        "rate_limit": {"interval": "1h", "burst": 1},
        "basic_auth_users": {"alice": ALICE},
    }
    async with guarded(tmp_path, content, health_auth=bool(health_auth)) as http:
        http.auth = httpx.BasicAuth("alice", SECRET)
        codes = [(await http.get(path)).status_code for path in ("/metrics", "/metrics")]
        probes = [(await http.get(path)).status_code for path in ("/-/healthy", "/-/ready") * 5]
    assert codes == [200, 429]
    assert set(probes) == {200}


def test_token_bucket_refills_up_to_the_burst() -> None:
    """One token per interval."""
    now = [0.0]
    bucket = TokenBucket(2.0, 2, lambda: now[0])
    assert [bucket.try_acquire() for _ in range(3)] == [True, True, False]
    now[0] = 2.0
    assert [bucket.try_acquire() for _ in range(2)] == [True, False]
    now[0] = 1000.0
    assert [bucket.try_acquire() for _ in range(3)] == [True, True, False]


class Watched:
    """A reloading web config file, and the outcomes that it reported."""

    def __init__(self, folder: Path, content: dict[str, Any]) -> None:
        self.folder = folder
        self.said: list[bool] = []
        self.access = ReloadingWebConfig(write_config(folder, content), self._say)

    def _say(self, *, is_good: bool) -> None:
        self.said.append(is_good)

    def write(self, content: dict[str, Any]) -> None:
        """Replace the file atomically."""
        draft = write_config(self.folder, content, "draft.yml")
        draft.replace(self.folder / "web.yml")

    async def refresh(self) -> list[bool]:
        """Look for changes; return the outcomes reported."""
        self.said.clear()
        await self.access.refresh()
        return list(self.said)


TWO = {"alice": ALICE, "bob": ALICE}


async def test_changed_file_is_reloaded(tmp_path: Path) -> None:
    """An unchanged one is not."""
    watched = Watched(tmp_path, {"basic_auth_users": {"alice": ALICE}})
    assert watched.said == [True]
    assert await watched.refresh() == []
    watched.write({"basic_auth_users": TWO})
    assert await watched.refresh() == [True]
    assert watched.access.current.users.keys() == TWO.keys()
    assert await watched.refresh() == []


async def test_invalid_file_keeps_the_last_valid_config(tmp_path: Path) -> None:
    """The failure is reported once, and so is the recovery."""
    watched = Watched(tmp_path, {"basic_auth_users": {"alice": ALICE}})
    watched.write({"basic_auth_userz": TWO})
    assert await watched.refresh() == [False]
    assert watched.access.current.users.keys() == {"alice"}
    assert await watched.refresh() == []
    (tmp_path / "web.yml").unlink()
    assert await watched.refresh() == [False]
    watched.write({"basic_auth_users": TWO})
    assert await watched.refresh() == [True]
    assert watched.access.current.users.keys() == TWO.keys()


PROTECTED = """\
basic_auth_users:
  alice: %s
tls_server_config:
  cert_file: server.crt
  key_file: server.key
  min_version: TLS13
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.crt
http_server_config:
  headers:
    X-Frame-Options: deny
rate_limit:
  interval: 1s
  burst: 1000
"""


async def test_file_cut_short_weakens_nothing(tmp_path: Path) -> None:
    """Wherever a half-written file ends, the last complete one stays in use until a restart."""
    ca = trustme.CA()
    write_certificate(tmp_path, ca)
    write_ca(tmp_path, ca)
    lines = (PROTECTED % ALICE).splitlines(keepends=True)
    path = tmp_path / "web.yml"
    path.write_text("".join(lines))
    watched = Watched(tmp_path, yaml.safe_load(path.read_text()))
    before = watched.access.current
    for count in range(len(lines)):
        path.write_text("".join(lines[:count]))
        assert await watched.refresh() == [False], lines[:count]
        assert watched.access.current is before
    path.write_text("".join(lines))
    assert await watched.refresh() == [True]


@pytest.mark.parametrize(
    "change",
    [
        {"client_auth_type": "VerifyClientCertIfGiven"},
        {"client_auth_type": None, "client_ca_file": None},
        {"min_version": "TLS12"},
        {"min_version": None},
    ],
)
async def test_tls_is_weakened_by_a_restart_only(
    tmp_path: Path, change: dict[str, str | None]
) -> None:
    """The log names the key and says to restart; stronger TLS is reloaded."""
    ca = trustme.CA()
    write_ca(tmp_path, ca)
    strong = {
        **write_certificate(tmp_path, ca),
        "min_version": "TLS13",
        "client_auth_type": "RequireAndVerifyClientCert",
        "client_ca_file": "ca.crt",
    }
    weak = {**strong, **change}
    watched = Watched(tmp_path, {"tls_server_config": strong})
    watched.write({"tls_server_config": weak})
    with capture_logs() as logs:
        assert await watched.refresh() == [False]
    (problem,) = [entry["problem"] for entry in logs]
    key = next(iter(change))
    assert f"cannot remove or weaken tls_server_config.{key}; restart the exporter" in problem
    restarted = Watched(tmp_path, {"tls_server_config": weak})
    restarted.write({"tls_server_config": strong})
    assert await restarted.refresh() == [True]


async def test_changed_certificate_is_reloaded(tmp_path: Path) -> None:
    """Also behind a swapped symlink, as in Kubernetes; a certificate waits for its key."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        write_certificate(tmp_path / name, trustme.CA())
    (tmp_path / "now").symlink_to("old")
    pair = {"cert_file": "now/server.crt", "key_file": "now/server.key"}
    watched = Watched(tmp_path, {"tls_server_config": pair})
    before = watched.access.current.tls
    (tmp_path / "next").symlink_to("new")
    (tmp_path / "next").replace(tmp_path / "now")
    assert await watched.refresh() == [True]
    assert watched.access.current.tls is not before
    os.replace(tmp_path / "old" / "server.key", tmp_path / "new" / "server.key")  # noqa: PTH105
    assert await watched.refresh() == [False]
    os.replace(tmp_path / "old" / "server.crt", tmp_path / "new" / "server.crt")  # noqa: PTH105
    assert await watched.refresh() == [True]


async def test_certificate_that_appears_later_is_loaded(tmp_path: Path) -> None:
    """The config file named it before it existed."""
    watched = Watched(tmp_path, {"basic_auth_users": TWO})
    pair = {"cert_file": "server.crt", "key_file": "server.key"}
    watched.write({"basic_auth_users": TWO, "tls_server_config": pair})
    assert await watched.refresh() == [False]
    write_certificate(tmp_path, trustme.CA())
    assert await watched.refresh() == [True]
    assert watched.access.current.tls is not None
