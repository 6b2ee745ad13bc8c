"""Run the benchmarks: `make bench`, or `python -m tests.bench [NAME ...]` for some of them.

A benchmark is a module of this folder whose `rows` measures and gives rows of the table.
"""

import os
import sys
from collections.abc import Callable, Iterable, Mapping

from exporter.app.life import tune_gc
from tests.bench import (
    crowds,
    handover,
    ledger_apply,
    many_targets,
    memory,
    polls,
    postgres_ledger,
    restart,
    scan,
    scrape,
    sizes,
    startup,
)
from tests.bench.rows import Row

BENCHMARKS: Mapping[str, Callable[[], Iterable[Row]]] = {
    "startup": startup.rows,
    "memory": memory.rows,
    "scan": scan.rows,
    "polls": polls.rows,
    "restart": restart.rows,
    "scrape": scrape.rows,
    "crowds": crowds.rows,
    "ledger": ledger_apply.rows,
    "postgres": postgres_ledger.rows,
    "sizes": sizes.rows,
    "many_targets": many_targets.rows,
    "handover": handover.rows,
}


def main(names: list[str]) -> int:
    """Print a table of what was measured."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"error: {unknown[0]}: no such benchmark; there are {', '.join(BENCHMARKS)}")
        return 2
    tune_gc()  # as the daemon does when it starts
    os.environ["ALIBABA_CLOUD_ECS_METADATA_DISABLED"] = "true"
    print("| What | Figure | Note |\n| --- | --- | --- |")
    for name in names or BENCHMARKS:
        for row in BENCHMARKS[name]():
            print(f"| {row.what} | {row.figure} | {row.note} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
