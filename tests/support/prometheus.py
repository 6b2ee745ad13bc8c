"""A real Prometheus, and a real Alertmanager behind it."""

import json
import re
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.harness import NO_TLS
from tests.support.processes import eventually, free_port, start
from tests.support.promtool import FILES, PREFIX, RULES

Series = Mapping[tuple[str, ...], float]


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus that runs."""

    http: httpx.AsyncClient

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """Evaluate an expression now; fail where Prometheus cannot."""
        response = await self.http.post("/api/v1/query", data={"query": expression})
        answer = response.json()
        if answer["status"] != "success":
            pytest.fail(f"{answer['error']} in {expression}")
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    async def values(self, metric: str, *by: str) -> Series:
        """Return the present value of every series of a metric, by labels."""
        found = await self.query(PREFIX + metric)
        return {
            tuple(series["metric"].get(label, "") for label in by): float(series["value"][1])
            for series in found
        }

    async def increases(self, metric: str, *by: str) -> Series:
        """Add up, for every series, the differences between the samples that were scraped."""
        return await self.recorded_increases(PREFIX + metric, *by)

    async def recorded_increases(self, name: str, *by: str, during: str = "10m") -> Series:
        """Add up the differences between the samples of a series with its whole name."""
        found = await self.query(f"{name}[{during}]")
        return {
            tuple(series["metric"].get(label, "") for label in by): _increase(series["values"])
            for series in found
        }

    async def until(self, expression: str, *, seconds: float = 40.0) -> None:
        """Wait until an expression gives something."""
        await eventually(partial(self.query, expression), seconds=seconds)


def _increase(samples: list[tuple[float, str]]) -> float:
    values = [float(value) for _, value in samples]
    steps = [after - before for before, after in pairwise(values)]
    assert min(steps, default=0.0) >= 0, "a counter fell"
    return values[-1] - values[0]


@asynccontextmanager
async def prometheus(
    binary: Path,
    folder: Path,
    target: str,
    *,
    has_rules: bool = False,
    alertmanager: str = "",
    scraping: Mapping[str, object] | None = None,
) -> AsyncIterator[Prometheus]:
    """Run a Prometheus that scrapes `target` each second, if wanted with the shipped rules.

    `scraping` is added to its `scrape_configs`; with an Alertmanager's address, alerts go there.
    """
    rules = list(FILES) if has_rules else []
    alertmanagers = [alertmanager] if alertmanager else []
    config = {
        "global": dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), "1s"),
        "scrape_configs": [
            {"job_name": "emr", "static_configs": [{"targets": [target]}], **(scraping or {})}
        ],
        "rule_files": rules,
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": alertmanagers}]}]},
    }
    _write(folder, "prometheus.yml", config)
    for name in rules:
        (folder / name).write_text(hurried((RULES / name).read_text("utf-8")), "utf-8")
    address = f"127.0.0.1:{free_port()}"
    command: list[str | Path] = [
        binary,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--storage.tsdb.retention.time=100y",
        "--rules.alert.resend-delay=1s",
    ]
    async with _running(command, folder, address) as http:
        yield Prometheus(http)


def _write(folder: Path, name: str, config: Mapping[str, object]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(config), "utf-8")  # JSON is YAML


def hurried(rules: str) -> str:
    """Return rules that are evaluated each second and wait seconds where they waited minutes.

    Nothing else differs from what is shipped: no expression, no label, no text.
    """
    rules = re.sub(r"^    interval: \w+", "    interval: 1s", rules, flags=re.MULTILINE)
    return re.sub(r"^( +(?:for|keep_firing_for)): \w+$", r"\1: 2s", rules, flags=re.MULTILINE)


def find_alertmanager() -> Path | None:
    """Find Alertmanager, which Debian calls by another name."""
    names = ("alertmanager", "prometheus-alertmanager")
    return next((Path(found) for found in map(shutil.which, names) if found), None)


@asynccontextmanager
async def alertmanager(binary: Path, folder: Path, webhook: str) -> AsyncIterator[str]:
    """Run an Alertmanager that tells `webhook` of everything; give its address."""
    config = {
        "global": {"resolve_timeout": "10s"},
        "route": {
            "receiver": "test",
            "group_by": ["alertname"],
            "group_wait": "1s",
            "group_interval": "1s",
        },
        "receivers": [
            {"name": "test", "webhook_configs": [{"url": webhook, "send_resolved": True}]}
        ],
    }
    _write(folder, "alertmanager.yml", config)
    address = f"127.0.0.1:{free_port()}"
    command: list[str | Path] = [
        binary,
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    async with _running(command, folder, address):
        yield address


@asynccontextmanager
async def _running(
    command: list[str | Path], folder: Path, address: str
) -> AsyncIterator[httpx.AsyncClient]:
    """Run a server of the Prometheus family until the block ends; it must end by itself."""
    async with (
        start(command, folder / "run") as process,
        httpx.AsyncClient(base_url=f"http://{address}", timeout=20, verify=NO_TLS) as http,
    ):
        await eventually(partial(is_ready, http))
        yield http
        await process.end()


async def is_ready(http: httpx.AsyncClient) -> bool:
    """Whether a Prometheus or an Alertmanager is ready."""
    try:
        return (await http.get("/-/ready")).is_success
    except httpx.TransportError:
        return False
