"""What a fork does first: it takes the place of a process that was started for its work."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

FORKS = "tests.forks"
"""The audit event of each start of one; its only argument is what it runs."""


def enter(
    main: Callable[[], int | None],
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
) -> None:
    """Run `main` with these arguments and variables, in this folder, its output in files there."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, name in enumerate(("stdout", "stderr"), 1):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
    sys.argv[1:] = arguments
    sys.exit(main())
