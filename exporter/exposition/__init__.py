"""From a snapshot to the bytes of `/metrics`.

text_format   the lines of samples and headers
layout        where each line stands, and how the page is cut into chunks
gzip_chunks   chunks that are compressed one by one and together are one gzip member
renderer      what has to be written again when a snapshot follows another
board         when it is rendered
negotiation   which format a client gets
responses     the page and the exporter's own metrics, as a response
"""

from exporter.exposition.board import RenderedBoard
from exporter.exposition.negotiation import Form, PageFormat, negotiated
from exporter.exposition.renderer import Page, Renderer
from exporter.exposition.responses import Answer, Answers, OwnMetrics, filtered

__all__ = [
    "Answer",
    "Answers",
    "Form",
    "OwnMetrics",
    "Page",
    "PageFormat",
    "RenderedBoard",
    "Renderer",
    "filtered",
    "negotiated",
]
