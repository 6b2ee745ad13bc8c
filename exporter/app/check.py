"""The command `check`: whether the daemon would start here, and may call what it needs."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from exporter.api import region_hint
from exporter.app import threads
from exporter.app.clients import ClientFactory, open_clients
from exporter.app.plan import Plan, ledger_location, plan
from exporter.clock import SystemClock
from exporter.errors import AddressInUseError, LedgerError, PollError, TimedOutError, WebConfigError
from exporter.healthcheck import is_exporter
from exporter.ledger import Postgres, check_ledger
from exporter.model import Page, Scope, Source, Target, Work
from exporter.settings import Settings
from exporter.sources import discover
from exporter.web import ReloadingWebConfig, bind

DEADLINE: Final = 8.0
"""Seconds for all calls together, so that `check` takes less than 10 with the start of the process.

Not included: the time that the rate limit demands for the calls, and up to 5 for each host of
`ledger.url` that does not answer, which is tried before.
"""

CALL_SECONDS: Final = 4.0
"""For one call or one credential, which is not repeated: it must not take the others' time."""

NO_TIME: Final = "timeout: no answer in the time that a check may take"
NOTHING_FOUND: Final = (
    "nothing to poll was found: check region-id, discovery.include and discovery.exclude, and "
    "that the credential belongs to the account that owns the workspaces."
)
NO_CREDENTIAL: Final = f"no credential within {CALL_SECONDS:g} s"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: `what` was checked `where`, and whether it succeeded."""

    where: str
    what: str
    is_good: bool
    said: str


def check(settings: Settings) -> Sequence[Finding]:
    """Check all that the daemon needs: its files, its address, and what a first poll asks for.

    Raises `SettingsError` if the settings name nothing.
    """
    planned = plan(settings)
    return [
        *_web_config(settings.web.config.file),
        *_ledger(ledger_location(settings)),
        _listen_address(settings),
        *threads.run(_run(settings, planned)),
    ]


def _web_config(path: Path | None) -> Iterator[Finding]:
    """Read the file as the daemon does when it starts, if one is given."""
    if path is None:
        return
    try:
        config = ReloadingWebConfig(path).current
    except WebConfigError as error:
        said = "; ".join(problem.removeprefix(f"{path}: ") for problem in error.problems)
        yield Finding(str(path), _WEB_CONFIG, is_good=False, said=said)
    else:
        tls = "TLS" if config.tls else "no TLS"
        said = f"{tls}, {_counted(len(config.users), 'user')} with a password"
        yield Finding(str(path), _WEB_CONFIG, is_good=True, said=said)


_WEB_CONFIG: Final = "web.config.file"


def _ledger(location: Path | Postgres) -> Iterator[Finding]:
    """Read the ledger, if there is one; a daemon may use it meanwhile."""
    name = "ledger.path" if isinstance(location, Path) else "ledger.url"
    try:
        said, is_good = check_ledger(location, SystemClock()), True
    except LedgerError as error:
        said, is_good = error.with_advice, False
    if said:
        yield Finding(str(location), name, is_good, said)


def _listen_address(settings: Settings) -> Finding:
    """Try to listen as the daemon does; one that is running already may hold the address."""
    address = settings.web.listen
    try:
        bind(address.host, address.port).close()
    except AddressInUseError as error:
        is_running = is_exporter(str(address))
        said = "in use by a running exporter" if is_running else str(error)
    else:
        is_running, said = True, "free"
    return Finding(str(address), "web.listen-address", is_running, said)


async def _run(settings: Settings, planned: Plan) -> Sequence[Finding]:
    async with open_clients(_hurried(settings), planned.shards) as clients:
        inquiry = _Inquiry(planned, clients, 1 / settings.api.max_requests_per_second)
        with suppress(TimeoutError):  # open findings then say that there was no answer
            async with inquiry.deadline:
                await inquiry.ask_all()
        return list(inquiry.findings())


def _hurried(settings: Settings) -> Settings:
    update = {"timeout": min(settings.api.timeout, CALL_SECONDS), "max_attempts": 1}
    api = settings.api.model_copy(update=update)
    poll = settings.poll.model_copy(update={"timeout": DEADLINE})
    return settings.model_copy(update={"api": api, "poll": poll})


class _Inquiry:
    """Runs the checks, and keeps the findings in the order of the checks."""

    def __init__(self, planned: Plan, clients: ClientFactory, seconds_per_call: float) -> None:
        self.deadline = asyncio.timeout(DEADLINE)
        self._ends = asyncio.get_running_loop().time() + DEADLINE
        self._seconds_per_call = seconds_per_call
        self._planned = planned
        self._clients = clients
        self._findings: dict[tuple[object, str], Finding] = {}
        """By what was asked: names may be equal, since ids may hold slashes."""
        self._barred: set[tuple[str, str]] = set()
        self._asked: set[Work] = set()

    def findings(self) -> Iterator[Finding]:
        """Yield what has been found out so far."""
        yield from self._findings.values()

    async def ask_all(self) -> None:
        """Check credentials, then each target, including those discovered on the way."""
        await asyncio.gather(*map(self._ask_credential, self._planned.shards))
        await self._ask_new()
        for place in self._planned.shards:
            if place not in self._barred:
                self._note_emptiness(place)

    async def _ask_new(self) -> None:
        inventory = self._planned.inventory
        scopes = [scope for scope in inventory.scopes if scope not in self._asked]
        targets = [target for target in inventory.targets() if target not in self._asked]
        self._asked.update(scopes, targets)
        await asyncio.gather(*map(self._ask_scope, scopes), *map(self._ask_target, targets))

    def _note_emptiness(self, place: tuple[str, str]) -> None:
        """Add a finding where all calls succeed and there is nothing to poll."""
        inventory, (account, region_id) = self._planned.inventory, place
        is_empty = not any(
            (target.account, target.region_id) == place for target in inventory.targets()
        )
        asked = [scope for scope in self._asked if (scope.account, scope.region_id) == place]
        if is_empty and all(self._findings[work, work.action].is_good for work in asked):
            said = " ".join(filter(None, (NOTHING_FOUND, region_hint(region_id))))
            where = _place_name(account, region_id)
            self._findings[place, "discovery"] = Finding(
                where, "discovery", is_good=False, said=said
            )

    async def _ask_credential(self, place: tuple[str, str]) -> None:
        async def ask() -> str:
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    found = await self._clients.credentials(*place).get()
            except TimeoutError:
                raise TimedOutError(NO_CREDENTIAL) from None
            life = "temporary" if found.security_token else "long-lived"
            return f"{masked(found.access_key_id)}, {life}, from {found.provider or 'unknown'}"

        if not await self._note(place, _place_name(*place), "credential", ask):
            self._barred.add(place)

    async def _ask_scope(self, scope: Scope) -> None:
        async def ask() -> str:
            found = await discover(scope, self._clients.client(scope), self._planned.inventory)
            return _counted(found, "Livy gateway" if scope.workspace_id else "workspace")

        await self._note_call(scope, scope.workspace_id, ask)
        await self._ask_new()

    async def _ask_target(self, target: Target) -> None:
        client = self._clients.client(target)

        async def ask_clusters() -> str:
            page = await client.session_clusters_page(target.workspace_id)
            return _counted(_total(page), "session cluster")

        async def ask_sessions() -> str:
            page = await client.livy_sessions_page(target.workspace_id, target.livy_compute_id, 1)
            return _counted(_total(page), "Livy session")

        if target.source is Source.SESSION_CLUSTERS:
            await self._note_call(target, target.workspace_id, ask_clusters)
        else:
            name = f"{target.workspace_id}/{target.livy_compute_id}"
            await self._note_call(target, name, ask_sessions)

    async def _note_call(self, work: Work, name: str, ask: Callable[[], Awaitable[str]]) -> None:
        if (work.account, work.region_id) not in self._barred:
            self._ends += self._seconds_per_call
            self.deadline.reschedule(self._ends)
            place = _place_name(work.account, work.region_id)
            await self._note(work, "/".join(filter(None, (place, name))), work.action, ask)

    async def _note(
        self, asked: object, where: str, what: str, ask: Callable[[], Awaitable[str]]
    ) -> bool:
        self._findings[asked, what] = Finding(where, what, is_good=False, said=NO_TIME)
        try:
            is_good, said = True, await ask()
        except PollError as error:
            is_good, said = False, f"{error.reason}: {error.with_advice}"
        self._findings[asked, what] = Finding(where, what, is_good, said)
        return is_good


_SHOWN_LENGTH: Final = 12
"""Characters: of a shorter id, four at either end would be all of it."""


def masked(key_id: str) -> str:
    """Return enough of a key's id to tell it from others."""
    return f"{key_id[:4]}…{key_id[-4:]}" if len(key_id) > _SHOWN_LENGTH else "…"


def _place_name(account: str, region_id: str) -> str:
    return "/".join(filter(None, (account, region_id)))


def _total(page: Page[Any]) -> int:
    return len(page.records) if page.total_count is None else page.total_count


def _counted(number: int, what: str) -> str:
    return f"{number} {what if number == 1 else f'{what}s'}"
