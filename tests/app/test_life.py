"""What the daemon does to the interpreter, so that nothing stops its event loop for long."""

import gc
import json
import platform
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.app.life import tune_gc
from tests.support.processes import run


class Node:
    """Holds on to itself, as what only the garbage collector can free does."""

    def __init__(self) -> None:
        self.myself = self


@pytest.fixture(autouse=True)
def _interpreter() -> Iterator[None]:
    """Leave the interpreter as it was."""
    thresholds, seconds = gc.get_threshold(), sys.getswitchinterval()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    sys.setswitchinterval(seconds)


def test_what_is_loaded_by_now_is_not_looked_at_again() -> None:
    """Collections are about what comes later; what was garbage by then is not kept for good."""
    kept, garbage = Node(), weakref.ref(Node())
    tune_gc()
    assert garbage() is None
    later = Node()
    looked_at = {id(each) for each in gc.get_objects()}
    assert (id(kept) in looked_at, id(later) in looked_at) == (False, True)


MEMORY = """
import sys
from exporter.app.life import spare_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

if sys.argv[1] == "spared":
    spare_memory()
del [bytearray(16 << 20)][:]  # from now on glibc would keep whatever is smaller
before = resident()
large, small = [], []
for _ in range(50):
    large.append(b"x" * (1 << 20))
    small.append(b"x" * 1000)
del large[:]
print((resident() - before) >> 20)
"""


@pytest.mark.process
@pytest.mark.anyio
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is a setting of glibc's")
async def test_large_pieces_of_memory_are_given_back(tmp_path: Path) -> None:
    """Also those between which something small is still in use; of 50 MB, a few stay at most."""
    kept = {}
    for how in ("spared", "as it is"):
        code, process = await run([sys.executable, "-c", MEMORY, how], tmp_path)
        assert code == 0
        kept[how] = int(process.output)
    assert kept["spared"] <= 3
    assert kept["as it is"] >= 8


DAEMON = """
import gc, json, os, signal, sys, threading, time
from exporter.cli import main

def look():
    while not gc.get_freeze_count():
        time.sleep(0.02)
    time.sleep(0.1)
    facts = gc.get_freeze_count(), gc.get_threshold()[2], sys.getswitchinterval()
    open("facts", "w").write(json.dumps(facts))
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=look, daemon=True).start()
sys.exit(main(["demo", "--web.listen-address=127.0.0.1:0"]))
"""


@pytest.mark.process
@pytest.mark.anyio
async def test_the_daemon_spares_its_loop(tmp_path: Path) -> None:
    """It does so when all is loaded: the modules are tens of thousands of objects."""
    code, _ = await run([sys.executable, "-c", DAEMON], tmp_path)
    assert code == 0
    frozen, full_collections, switch_seconds = json.loads((tmp_path / "facts").read_text())
    assert frozen > 10_000
    assert full_collections > gc.get_threshold()[2]
    assert switch_seconds < sys.getswitchinterval()
