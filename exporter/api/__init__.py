"""The API: signed requests, retries, paging, and JSON → frozen values. This is its door."""

from exporter.api.budget import Budget, OnWait, ignore_waiting
from exporter.api.client import PAGE_SIZE, Client
from exporter.api.credentials import (
    CredentialSource,
    StaticCredentials,
    VendorCredentials,
    connect_library,
)
from exporter.api.meter import Meter, NullMeter
from exporter.api.numbered_scan import NumberedScan, PageSteps, ReadRows
from exporter.api.paging import fetch_page, walk_pages, walk_tokens
from exporter.api.signing import Credential

__all__ = [
    "PAGE_SIZE",
    "Budget",
    "Client",
    "Credential",
    "CredentialSource",
    "Meter",
    "NullMeter",
    "NumberedScan",
    "OnWait",
    "PageSteps",
    "ReadRows",
    "StaticCredentials",
    "VendorCredentials",
    "connect_library",
    "fetch_page",
    "ignore_waiting",
    "walk_pages",
    "walk_tokens",
]
