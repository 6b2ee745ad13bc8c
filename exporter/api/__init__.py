"""The API: signed requests, retries, paging, and JSON → frozen values. This is its door."""

from exporter.api.client import PAGE_SIZE, Client
from exporter.api.credentials import (
    CredentialSource,
    StaticCredentials,
    VendorCredentials,
    connect_library,
)
from exporter.api.meter import Meter, NullMeter
from exporter.api.numbered_scan import NumberedScan, PageSteps, ReadRows
from exporter.api.paging import fetch_page, scan_pages, scan_tokens
from exporter.api.rate_limiter import OnQueued, RateLimiter, ignore_queueing
from exporter.api.regions import doubt_about
from exporter.api.signing import Credential

__all__ = [
    "PAGE_SIZE",
    "Client",
    "Credential",
    "CredentialSource",
    "Meter",
    "NullMeter",
    "NumberedScan",
    "OnQueued",
    "PageSteps",
    "RateLimiter",
    "ReadRows",
    "StaticCredentials",
    "VendorCredentials",
    "connect_library",
    "doubt_about",
    "fetch_page",
    "ignore_queueing",
    "scan_pages",
    "scan_tokens",
]
