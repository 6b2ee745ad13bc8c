"""Draw the dashboards for the README: `make pictures RENDER="program"`.

The program is not part of this repository: it is called with the JSON of a dashboard, the URL of a
Prometheus and the picture to write. What it is given differs from what is shipped in the time that
is shown, and in variables that readers type, which are replaced by their values.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from grafana.generate import dashboards
from tests.support.processes import (
    EXPORTER,
    free_port,
    start,
)
from tests.support.prometheus import prometheus
from tests.support.repository import ROOT
from tests.support.tools import find_tool

MINUTES = 4
"""How long the demo lives before it is drawn."""


def drawable(document: dict[str, Any]) -> str:
    """Give a dashboard of the last minutes, without variables to type."""
    text = json.dumps({**document, "time": {"from": f"now-{MINUTES}m", "to": "now"}})
    for variable in document["templating"]["list"]:
        if variable["type"] == "textbox":
            for name in (f"${{{variable['name']}}}", f"${variable['name']}"):
                text = text.replace(name, variable["query"])
    drawn = json.loads(text.replace("$__range", f"{MINUTES}m"))
    for variable in drawn["templating"]["list"]:
        if variable["type"] == "query":
            variable["query"] = variable["query"].replace("$workspace", ".*")
    return json.dumps(drawn)


async def draw(program: list[str], folder: Path) -> int:
    """Let a demo live for a while, then draw each dashboard; give the worst exit code."""
    address = f"127.0.0.1:{free_port()}"
    demo = [*EXPORTER, "demo", "--demo.speed=120", "--poll.interval=2s", "--ledger.birth-hold=4s"]
    worst = 0
    async with (
        start([*demo, f"--web.listen-address={address}"], folder / "demo"),
        prometheus(find_tool("prometheus"), folder / "p", address, has_rules=True) as scraper,
    ):
        await asyncio.sleep(MINUTES * 60)
        for name, document in dashboards().items():
            source = folder / name
            picture = ROOT / "grafana" / "pictures" / f"{source.stem}.png"
            await asyncio.to_thread(source.write_text, drawable(document), "utf-8")
            command = [*program, str(source), str(scraper.http.base_url).rstrip("/"), str(picture)]
            done = await asyncio.to_thread(subprocess.run, command, check=False)
            worst = max(worst, done.returncode)
    return worst


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(asyncio.run(draw(sys.argv[1:], Path(scratch))))
