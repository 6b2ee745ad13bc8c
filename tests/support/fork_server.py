"""Processes that begin with their imports done: what costs 0.5 s to import is imported once."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.support.processes import search_path

_SERVER = """
import json, os, sys, traceback

{imports}

for line in sys.stdin:
    folder, script, arguments, environment = json.loads(line)
    child = os.fork()
    if child:
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    code = 1
    try:
        for number, name in enumerate(("stdout", "stderr"), 1):
            os.dup2(os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT), number)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv[1:] = arguments
        exec(script, {{"__name__": "__main__"}})
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)
"""


class ForkServer:
    """Runs scripts, each in a fork of a Python that has imported and done nothing else."""

    def __init__(self, imports: str) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVER.format(imports=imports)],
            env={**os.environ, "PYTHONPATH": search_path()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.communicate()

    def run(
        self, script: str, arguments: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> tuple[str, str]:
        """Run a script to its end; return its stdout and stderr. Raise where it failed."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        folder.mkdir(exist_ok=True)
        request = [str(folder), script, [*arguments], {**environment}]
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        code = self._server.stdout.readline()
        stdout, stderr = ((folder / name).read_text() for name in ("stdout", "stderr"))
        assert code == "0\n", stderr
        return stdout, stderr
