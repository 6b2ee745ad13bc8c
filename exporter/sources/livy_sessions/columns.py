"""Long columns in little memory."""

from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate


class Texts(Sequence[str]):
    """Many short texts in one piece of memory; as immutable as a tuple."""

    __slots__ = ("_data", "_ends", "_skipped")

    def __init__(self, data: bytes, ends: "array[int]", skipped: int = 0) -> None:
        """Take texts one behind the other, where each ends, and how many do not count."""
        self._data = data
        self._ends = ends
        self._skipped = skipped

    @classmethod
    def of(cls, texts: Iterable[bytes]) -> "Texts":
        """Pack texts, each encoded by `encoded`."""
        return cls(*_packed(texts, 0))

    def __len__(self) -> int:
        return len(self._ends) - self._skipped

    def __getitem__(self, index: int) -> str:  # type: ignore[override]  # no slices: see spliced
        return self._piece(index).decode("utf-8", "surrogatepass")

    def spliced(self, gone: int, kept: int, more: Iterable[bytes]) -> "Texts":
        """Return the texts from `gone` up to `kept`, and then `more`."""
        first, stop = self._skipped + gone, self._skipped + max(kept, gone)
        if first > len(self._ends) // 2:  # what was skipped costs more than a copy
            return Texts.of([*map(self._piece, range(gone, kept)), *more])
        end = self._ends[stop - 1] if stop else 0
        data, ends = _packed(more, end)
        return Texts(self._data[:end] + data, self._ends[:stop] + ends, first)

    def _piece(self, index: int) -> bytes:
        if not 0 <= index < len(self):
            raise IndexError(index)
        at = index + self._skipped
        start = self._ends[at - 1] if at else 0
        return self._data[start : self._ends[at]]


def encoded(text: str) -> bytes:
    """Return a text as it is packed; it may hold what is not valid Unicode."""
    return text.encode("utf-8", "surrogatepass")


def _packed(texts: Iterable[bytes], start: int) -> tuple[bytes, "array[int]"]:
    pieces = [*texts]
    ends = array("Q", accumulate(map(len, pieces), initial=start))
    del ends[0]
    return b"".join(pieces), ends
