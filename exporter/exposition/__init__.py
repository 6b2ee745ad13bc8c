"""From a snapshot to the bytes of `/metrics`.

formats          the two formats: which one a client gets, and how their lines are written
layout           where each line is on the page, and how the page is cut into chunks
gzip_chunks      chunks that are compressed one by one and together are one gzip member
renderer         the page of a snapshot; only what has changed since the last one is written again
rendered_store   the current snapshot with its page, rendered soon after it is published
responses        the page and the exporter's own metrics, as a response
"""

from exporter.exposition.formats import Form, PageFormat, negotiated
from exporter.exposition.rendered_store import RenderedSnapshotStore
from exporter.exposition.renderer import RenderedPage, Renderer
from exporter.exposition.responses import OwnMetrics, PageResponse, PageResponses, filtered

__all__ = [
    "Form",
    "OwnMetrics",
    "PageFormat",
    "PageResponse",
    "PageResponses",
    "RenderedPage",
    "RenderedSnapshotStore",
    "Renderer",
    "filtered",
    "negotiated",
]
