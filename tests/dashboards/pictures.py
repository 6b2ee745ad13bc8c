"""Draw the dashboards for the README: `make pictures RENDER="program"`.

The program is not part of this repository: it is called with the JSON of a dashboard, the URL of a
Prometheus and the picture to write. What it is given differs from what is shipped in the time that
is shown, and in variables, which are replaced by their values.

The Prometheus holds weeks in the life of the demo, which was lived in simulated time. promtool
evaluates the rules on it, once an hour. What the exporter says of itself is drawn from one that
runs meanwhile.
"""

import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from exporter.demo.fleet import PRODUCTION
from grafana.generate import dashboards
from tests.support.forked import start
from tests.support.lived import MIDNIGHT, Series, as_input, scraped
from tests.support.processes import EXPORTER, free_port
from tests.support.prometheus import prometheus
from tests.support.promtool import PREFIX, groups, run_test
from tests.support.repository import ROOT
from tests.support.tools import find_tool

HOUR, DAY = 3600, 86400
END = 35 * DAY + 15 * HOUR
"""Seconds from the first day of a month to what is drawn as now, in the month after."""

STEP = 300
"""Seconds between two scrapes of the last day; a value is shown for as long."""

HOURS = range(0, END + 1, HOUR)
MOMENTS = (*range(0, END - DAY, HOUR), *range(END - DAY, END + 1, STEP))

BUDGET = f"scope:{PREFIX}livy_cu_hours:budget"
BUDGETS: tuple[tuple[int, dict[str, str]], ...] = (
    (2_500, {"scope": "queue", "period": "day", "queue": "root_queue"}),
    (300_000, {"scope": "workspace", "period": "month", "workspace_id": PRODUCTION}),
    (70_000, {"scope": "user", "period": "month", "proxy_user": "analyst"}),
)

VALUES = {
    "cu_price": "0.35",
    "currency": "CNY",
    "exporter_url": "http://127.0.0.1:9825/",
    "workspace_name": ".*",
    "workspace": ".*",
    "gateway_name": ".*",
    "gateway": ".*",
    "queue": ".*",
}


def drawable(document: dict[str, Any], first: float, last: float) -> str:
    """Return a dashboard of a time that is over, without variables to choose or to type."""
    shown_time = {"from": _moment(first), "to": _moment(last)}
    shown = {**document, "time": shown_time, "templating": {"list": []}}
    text = json.dumps(shown).replace("$__range", f"{last - first:.0f}s")
    for name, value in VALUES.items():
        text = re.sub(rf"\$(?:{name}\b|{{{name}(?::\w+)?}})", value, text)
    return text


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def recorded(promtool: Path, folder: Path, found: Series) -> Iterator[tuple[str, int, float]]:
    """Evaluate the rules each hour; yield series, moments and values."""
    # promtool's time begins in 1970.
    text = json.dumps(groups()).replace("time()", f"(time() + {MIDNIGHT:.0f})")
    budgets = [
        {"record": BUDGET, "expr": f"vector({value})", "labels": labels}
        for value, labels in BUDGETS
    ]
    chosen = [
        {**group, "rules": group["rules"] or budgets}
        for group in json.loads(text)
        # Alerts about the exporter watch minutes, of which there is nothing here.
        if not group["name"].endswith(("_exporter", "_baseline"))
    ]
    wanted = '{__name__=~".+:.+|ALERTS.*",__name__!~".+(_start|:known)"}'
    test = {
        "interval": f"{HOUR}s",
        "input_series": [*as_input(found, HOURS, 1)],
        "promql_expr_test": [
            {"expr": wanted, "eval_time": f"{moment}s", "exp_samples": []} for moment in HOURS
        ],
    }
    complaints = run_test(promtool, folder, HOUR, chosen, test)
    # promtool tells what it got where it expected none.
    got = re.findall(r"^ +got: (.*)$", complaints, re.MULTILINE)
    for moment, line in zip(HOURS, got, strict=True):
        for name, labels, value in re.findall(_SAMPLE, line):
            since = MIDNIGHT if name == "ALERTS_FOR_STATE" else 0
            compact = re.sub(r'", (\w+=")', r'",\1', labels)
            yield f"{name}{{{compact}}}", moment, float(value) + since


_SAMPLE = r'{__name__="([^"]+)"(?:, )?((?:[^{}"]|"(?:[^"\\]|\\.)*")*)} ([^ ,]+)'


def history(promtool: Path, folder: Path, found: Series) -> Iterator[str]:
    """Yield the lines of OpenMetrics that promtool makes blocks from."""
    for name, samples in found.items():
        # Single sessions are nearly all of it, and no panel shows more of them.
        first = END - 6 * HOUR if name.startswith(f"{PREFIX}livy_session_") else 0
        for moment, value in samples.items():
            if moment >= first:
                yield f"{name} {value!r} {MIDNIGHT + moment:.0f}\n"
    for name, moment, known in recorded(promtool, folder, found):
        # Until the next evaluation it is what was recorded last.
        repeated = range(0, HOUR, STEP) if moment >= END - DAY else range(1)
        for later in repeated:
            yield f"{name} {known!r} {MIDNIGHT + moment + later:.0f}\n"
    yield "# EOF\n"


def backfill(folder: Path, found: Series) -> None:
    """Make blocks for a Prometheus from what was scraped."""
    promtool, source = find_tool("promtool"), folder / "history.om"
    with source.open("w", encoding="utf-8") as lines:
        lines.writelines(history(promtool, folder, found))
    command: list[str | Path] = [
        promtool,
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        "--max-block-duration=1024h",
    ]
    subprocess.run(
        [*command, source, folder / "past" / "data"], check=True, stdout=subprocess.DEVNULL
    )


async def draw(program: Sequence[str], folder: Path) -> int:
    """Let a demo live for weeks, then draw each dashboard; give the worst exit code."""
    address, nobody = (f"127.0.0.1:{free_port()}" for _ in range(2))
    demo = [*EXPORTER, "demo", "--demo.speed=120", "--poll.interval=2s", "--ledger.birth-hold=4s"]
    binary, began, worst = find_tool("prometheus"), time.time(), 0
    (folder / "past").mkdir()
    async with (
        start([*demo, f"--web.listen-address={address}"], folder / "demo"),
        prometheus(binary, folder / "live", address, has_rules=True) as live,
    ):
        found = await scraped(MOMENTS, STEP, is_healthy=False)
        await asyncio.to_thread(backfill, folder, found)
        async with prometheus(binary, folder / "past", nobody) as past:
            for name, document in dashboards().items():
                since = int(re.sub(r"\D", "", document["time"]["from"])) * HOUR
                now = MIDNIGHT + END + 120  # the last poll was a while ago
                scraper, text = past, drawable(document, now - since, now)
                if name == "exporter.json":
                    scraper, text = live, drawable(document, began, time.time())
                source = folder / name
                await asyncio.to_thread(source.write_text, text, "utf-8")
                picture = ROOT / "grafana" / "pictures" / f"{source.stem}.png"
                url = str(scraper.http.base_url).rstrip("/")
                command = [*program, str(source), url, str(picture)]
                done = await asyncio.to_thread(subprocess.run, command, check=False)
                worst = max(worst, done.returncode)
    return worst


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(asyncio.run(draw(sys.argv[1:], Path(scratch))))
