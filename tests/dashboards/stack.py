"""A real Prometheus, and a real Alertmanager behind it, with the shipped rules run fast."""

import re
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.processes import eventually, free_port, start
from tests.support.promtool import FILES, RULES

SCRAPE = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
scrape_configs:
  - job_name: emr
    static_configs: [{{targets: ["{target}"]}}]
rule_files: [{files}]
"""
ALERTING = """
alerting:
  alertmanagers: [{{static_configs: [{{targets: ["{alertmanager}"]}}]}}]
"""
NOTIFYING = """
global: {{resolve_timeout: 10s}}
route: {{receiver: test, group_by: [alertname], group_wait: 1s, group_interval: 1s}}
receivers:
  - name: test
    webhook_configs: [{{url: "{webhook}", send_resolved: true}}]
"""


def hurried(rules: str) -> str:
    """Give rules that are evaluated each second and wait seconds where they waited minutes.

    Nothing else differs from what is shipped: no expression, no label, no text.
    """
    rules = re.sub(r"^    interval: \w+", "    interval: 1s", rules, flags=re.MULTILINE)
    return re.sub(r"^( +(?:for|keep_firing_for)): \w+$", r"\1: 2s", rules, flags=re.MULTILINE)


async def _is_ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/-/ready")).is_success
    except httpx.TransportError:
        return False


def _configure_prometheus(folder: Path, target: str, alertmanager: str) -> None:
    folder.mkdir()
    for name in FILES:
        text = (RULES / name).read_text(encoding="utf-8")
        (folder / name).write_text(hurried(text), encoding="utf-8")
    config = SCRAPE.format(target=target, files=", ".join(FILES))
    config += ALERTING.format(alertmanager=alertmanager) if alertmanager else ""
    (folder / "prometheus.yml").write_text(config, encoding="utf-8")


def _configure_alertmanager(folder: Path, webhook: str) -> None:
    folder.mkdir()
    (folder / "alertmanager.yml").write_text(NOTIFYING.format(webhook=webhook), encoding="utf-8")


@asynccontextmanager
async def prometheus(
    binary: Path, folder: Path, target: str, alertmanager: str = ""
) -> AsyncIterator[httpx.AsyncClient]:
    """Run a Prometheus that scrapes `target` each second, with the shipped rules."""
    _configure_prometheus(folder, target, alertmanager)
    address = f"127.0.0.1:{free_port()}"
    command: list[str | Path] = [
        binary,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--rules.alert.resend-delay=1s",
    ]
    async with (
        start(command, folder / "run") as process,
        httpx.AsyncClient(base_url=f"http://{address}", timeout=20) as http,
    ):
        await eventually(partial(_is_ready, http))
        yield http
        await process.end()


def find_alertmanager() -> Path | None:
    """Find Alertmanager, which Debian calls by another name."""
    names = ("alertmanager", "prometheus-alertmanager")
    return next((Path(found) for found in map(shutil.which, names) if found), None)


@asynccontextmanager
async def alertmanager(binary: Path, folder: Path, webhook: str) -> AsyncIterator[str]:
    """Run an Alertmanager that tells `webhook` of everything; give its address."""
    _configure_alertmanager(folder, webhook)
    address = f"127.0.0.1:{free_port()}"
    command: list[str | Path] = [
        binary,
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    async with (
        start(command, folder / "run") as process,
        httpx.AsyncClient(base_url=f"http://{address}") as http,
    ):
        await eventually(partial(_is_ready, http))
        yield address
        await process.end()


async def ask(http: httpx.AsyncClient, expression: str) -> list[Mapping[str, Any]]:
    """Evaluate an expression now; fail where Prometheus cannot."""
    response = await http.post("/api/v1/query", data={"query": expression})
    answer = response.json()
    if answer["status"] != "success":
        pytest.fail(f"{answer['error']} in {expression}")
    found: list[Mapping[str, Any]] = answer["data"]["result"]
    return found
