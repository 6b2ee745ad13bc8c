"""From a picture to the bytes of `/metrics`."""

from exporter.exposition.families import families
from exporter.exposition.page import Page, PageFormat, render

__all__ = ["Page", "PageFormat", "families", "render"]
