"""What the daemon does to the interpreter, so that nothing stops its event loop for long."""

import gc
import json
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
    """Leave the interpreter as it was; what is frozen stays so, for the tests that follow."""
    thresholds, seconds = gc.get_threshold(), sys.getswitchinterval()
    yield
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
