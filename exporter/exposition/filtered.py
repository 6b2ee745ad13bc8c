"""A part of the page: the samples of some names."""

import re
from collections.abc import Collection, Iterator

from exporter.exposition.answers import Answer


def filtered(answer: Answer, names: Collection[str]) -> Iterator[bytes]:
    """Give the lines of an uncompressed page whose samples bear one of `names`, part by part.

    As in prometheus-client, it is the name in the line that counts, `x_total` or `x_bucket`; and
    a family is described where at least one of its samples is there.
    """
    wanted = "|".join(map(re.escape, names)).encode()
    lines = re.compile(rb"^(?:#.*|(?:" + wanted + rb")[{ ].*)\n", re.MULTILINE)
    headers: list[bytes] = []
    for part in answer.parts:
        kept: list[bytes] = []
        for line in lines.findall(part):
            if not line.startswith(b"#"):
                kept += (*headers, line)
                headers = []
            elif line == b"# EOF\n":
                kept.append(line)
            elif headers and not _is_same_family(headers[-1], line):
                headers = [line]
            else:
                headers.append(line)
        yield b"".join(kept)


def _is_same_family(before: bytes, line: bytes) -> bool:
    """Tell whether two lines `# HELP name …` and `# TYPE name …` describe the same family."""
    return before.split(b" ", 3)[2] == line.split(b" ", 3)[2]
