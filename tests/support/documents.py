"""The Markdown files of the repository, taken apart."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.support.repository import ROOT, git_files


@dataclass(frozen=True)
class Document:
    """One file; `name` is its path from the top."""

    name: str
    text: str

    @property
    def folder(self) -> Path:
        """The folder that its links start from."""
        return (ROOT / self.name).parent

    def blocks(self, *languages: str) -> list[str]:
        """Return the blocks of code in one of `languages`; all blocks where none is given."""
        found: list[tuple[str, str]] = re.findall(
            r"^ *```(\w*)\n(.*?)^ *```$", self.text, re.MULTILINE | re.DOTALL
        )
        return [
            _dedented(code) for language, code in found if not languages or language in languages
        ]

    @cached_property
    def prose(self) -> str:
        """Everything but the blocks of code."""
        return re.sub(r"^ *```.*?^ *```$", "", self.text, flags=re.MULTILINE | re.DOTALL)

    @cached_property
    def quoted(self) -> list[str]:
        """What stands in backticks in the prose."""
        return re.findall(r"`([^`\n]+)`", self.prose)

    @cached_property
    def anchors(self) -> set[str]:
        """The headings, as a link names them."""
        headings = re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE)
        return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in headings}

    @cached_property
    def links(self) -> list[str]:
        """Where its links lead, those to other sites left out."""
        targets: list[str] = re.findall(r"\]\(([^)\s]+)\)", self.text)
        return [target for target in targets if not target.startswith("http")]

    def table(self, first: str) -> list[list[str]]:
        """Return the rows of the table whose first column has the heading `first`."""
        _, found, rest = self.text.partition(f"\n| {first} |")
        assert found, f"{self.name} has no table of {first}"
        lines = rest.partition("\n\n")[0].splitlines()[2:]
        return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]

    def first_words(self, first: str) -> list[str]:
        """Return what stands in the first column of a table, without backticks."""
        return [row[0].strip("`") for row in self.table(first)]

    @cached_property
    def sentences(self) -> list[str]:
        """The sentences of paragraphs, list items and cells of tables, one line each."""
        paragraphs = re.split(r"\n\s*\n|\n(?=\s*(?:[-|#]|\d+\.) ?)| \| ", self.prose)
        lines = (" ".join(paragraph.split()).strip("-|# ") for paragraph in paragraphs)
        return [sentence for line in lines for sentence in re.split(r"(?<=[.;:]) ", line)]


def _dedented(code: str) -> str:
    margin = len(code) - len(code.lstrip(" "))
    return "".join(line[margin:] for line in code.splitlines(keepends=True))


def documents() -> Mapping[str, Document]:
    """Read every Markdown file of the repository, by its path from the top."""
    names = git_files("--cached", "--others", "--exclude-standard", "*.md")
    return {
        name.as_posix(): Document(name.as_posix(), (ROOT / name).read_text(encoding="utf-8"))
        for name in names
    }


def markdown_table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Write a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    escaped = ([cell.replace("|", "\\|") for cell in row] for row in lines)
    return "\n".join(f"| {' | '.join(row)} |" for row in escaped)


def where(matches: Mapping[str, Document], pattern: str) -> Iterator[tuple[str, str]]:
    """Return each match of `pattern` in the text of each document, with the document's name."""
    for name, document in matches.items():
        for match in re.findall(pattern, document.text, re.MULTILINE):
            yield name, match
