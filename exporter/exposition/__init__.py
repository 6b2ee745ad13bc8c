"""From a picture to the bytes of `/metrics`."""

from exporter.exposition.answers import Answer, Answers
from exporter.exposition.board import RenderedBoard
from exporter.exposition.filtered import filtered
from exporter.exposition.formats import Form, PageFormat, negotiated
from exporter.exposition.own import OwnMetrics
from exporter.exposition.page import Page
from exporter.exposition.renderer import Renderer

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
