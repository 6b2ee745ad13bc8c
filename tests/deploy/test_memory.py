"""The variables by which image and unit have the C library give memory back."""

import platform
import re
import sys
from pathlib import Path

import pytest

from tests.support.processes import run
from tests.support.repository import ROOT

UNIT = "deploy/systemd/emr-serverless-spark-exporter.service"

MEMORY = """
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

del [bytearray(16 << 20)][:]  # from now on glibc keeps whatever is smaller, by itself
before = resident()
large, small = [], []
for _ in range(50):
    large.append(b"x" * (1 << 20))
    small.append(b"x" * 1000)
del large[:]
print((resident() - before) >> 20)
"""


async def kept(folder: Path, variables: dict[str, str]) -> int:
    """Return the megabytes that stay of 50 that were used and freed."""
    code, process = await run([sys.executable, "-c", MEMORY], folder, variables)
    assert code == 0
    return int(process.output)


@pytest.mark.process
@pytest.mark.anyio
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="they are glibc's")
@pytest.mark.parametrize("file", ["Dockerfile", UNIT])
async def test_large_pieces_of_memory_are_given_back(tmp_path: Path, file: str) -> None:
    """Also those between which something small is still in use; a few megabytes stay at most."""
    variables = dict(re.findall(r"(MALLOC_\w+)=(\d+)", (ROOT / file).read_text()))
    assert await kept(tmp_path, variables) <= 3
    assert await kept(tmp_path, {}) >= 8
