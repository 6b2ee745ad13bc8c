"""The exporter as its users start it, against a simulated cloud."""

import json
import time
from pathlib import Path

import httpx

from exporter.demo import DEMO_KEY_ID, DEMO_KEY_SECRET, Cloud, World
from tests.support.harness import NO_TLS, targets_of
from tests.support.pages import Page
from tests.support.processes import EXPORTER

ANY_PORT = "--web.listen-address=127.0.0.1:0"


def cloud_of(world: World) -> Cloud:
    """Make a cloud for real processes, which go by the machine's clock."""
    return Cloud(world, clock=time.time, access_keys={DEMO_KEY_ID: DEMO_KEY_SECRET})


def serve_command(world: World, endpoint: str, *flags: str) -> list[str]:
    """Write the command line of an exporter of everything in a world."""
    return [
        *EXPORTER,
        *flags,
        f"--targets={json.dumps(targets_of(world))}",
        f"--api.endpoint={endpoint}",
        "--poll.interval=1s",
    ]


async def fetch(url: str, path: str = "/metrics") -> Page:
    """Read the page of a process."""
    async with httpx.AsyncClient(verify=NO_TLS, timeout=20) as http:
        response = await http.get(f"{url}{path}")
    assert response.status_code == 200
    return Page.from_text(response.text)


def files_in(folder: Path) -> list[str]:
    """Return the names of all files in a folder."""
    return sorted(path.name for path in folder.iterdir())
