"""The page as ready bytes, rendered once for each publish."""

from dataclasses import dataclass

from exporter.exposition.formats import PageFormat
from exporter.exposition.gzipped import Row
from exporter.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Page:
    """The rendered picture, without the exporter's own live metrics and without end marks.

    Sample lines exist once: both formats, compressed or not, are made of the same pieces.
    """

    snapshot: Snapshot
    text: Row
    openmetrics: Row

    def row(self, form: PageFormat) -> Row:
        """Give the picture in one of the formats."""
        return self.text if form is PageFormat.TEXT else self.openmetrics
