"""Long columns in little memory."""

from array import array
from collections.abc import Iterable, Sequence


class Texts(Sequence[str]):
    """Many short texts in one piece of memory; as immutable as a tuple."""

    __slots__ = ("_data", "_ends", "_skipped")

    def __init__(self, data: bytes, ends: "array[int]", skipped: int = 0) -> None:
        """Take texts one behind the other, where each ends, and how many do not count."""
        self._data = data
        self._ends = ends
        self._skipped = skipped

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Texts":
        """Pack texts."""
        return cls(*_packed(texts, 0))

    def __len__(self) -> int:
        """Count the texts."""
        return len(self._ends) - self._skipped

    def __getitem__(self, index: int) -> str:  # type: ignore[override]  # no slices: see spliced
        """Give the text at `index`, from 0."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        at = index + self._skipped
        start = self._ends[at - 1] if at else 0
        return self._data[start : self._ends[at]].decode("utf-8", "surrogatepass")

    def spliced(self, gone: int, kept: int, more: Iterable[str]) -> "Texts":
        """Give the texts from `gone` up to `kept`, and then `more`."""
        first, stop = self._skipped + gone, self._skipped + max(kept, gone)
        if first > len(self._ends) // 2:  # what was skipped costs more than a copy
            return Texts.of([*(self[index] for index in range(gone, kept)), *more])
        end = self._ends[stop - 1] if stop else 0
        data, ends = _packed(more, end)
        return Texts(self._data[:end] + data, self._ends[:stop] + ends, first)


def _packed(texts: Iterable[str], start: int) -> tuple[bytes, "array[int]"]:
    pieces = [text.encode("utf-8", "surrogatepass") for text in texts]
    ends = array("Q")
    for piece in pieces:
        start += len(piece)
        ends.append(start)
    return b"".join(pieces), ends
