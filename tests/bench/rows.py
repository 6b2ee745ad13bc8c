"""What a benchmark gives back."""

from typing import NamedTuple


class Row(NamedTuple):
    """One line of the table."""

    what: str
    figure: str
    """With its unit."""
    note: str = ""
