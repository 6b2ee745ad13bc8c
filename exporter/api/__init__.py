"""The API: signed requests, retries, paging, and JSON → frozen values.

client              the four actions, one method each
  rate_limiter      the queue that every request of an account and region waits in
  retry             when a call is repeated: the only place that retries
  signing           ACS3-HMAC-SHA256
  body, wire        the bytes of an answer, and the fields that are read of it
  decode            from these to frozen values; `values` single ones, `redaction` free texts
  error_mapping     from an answer or an exception to our errors
  meter             what is counted of all this
paging              a whole listing from its pages; `numbered_scan` decides which page is next
credentials         where they come from; `credential_chain` asks the vendor's library, and
                    `credential_errors` says why there is none
regions             the known regions, for advice where one is misspelt
"""

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
from exporter.api.rate_limiter import RateLimiter
from exporter.api.regions import region_hint
from exporter.api.signing import Credential

__all__ = [
    "PAGE_SIZE",
    "Client",
    "Credential",
    "CredentialSource",
    "Meter",
    "NullMeter",
    "NumberedScan",
    "PageSteps",
    "RateLimiter",
    "ReadRows",
    "StaticCredentials",
    "VendorCredentials",
    "connect_library",
    "fetch_page",
    "region_hint",
    "scan_pages",
    "scan_tokens",
]
