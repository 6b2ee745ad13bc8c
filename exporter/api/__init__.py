"""The API: signed requests, retries, paging, and JSON → frozen values. This is its door."""

from exporter.api.client import PAGE_SIZE, Client
from exporter.api.credentials import CredentialSource, StaticCredentials, VendorCredentials
from exporter.api.meter import Meter, NullMeter
from exporter.api.paging import walk_pages, walk_tokens
from exporter.api.signing import Credential

__all__ = [
    "PAGE_SIZE",
    "Client",
    "Credential",
    "CredentialSource",
    "Meter",
    "NullMeter",
    "StaticCredentials",
    "VendorCredentials",
    "walk_pages",
    "walk_tokens",
]
