"""Why there is no credential, in words of a closed list: texts of the library may quote answers."""

import json
import os
import re
from typing import Final

import httpx

from exporter.api.error_mapping import from_transport_error
from exporter.errors import ExporterError

NONE_FOUND: Final = "No credential could be found or renewed"

ADVICE: Final = (
    "Set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET (and "
    "ALIBABA_CLOUD_SECURITY_TOKEN for a temporary credential); in ACK use RRSA: "
    "ALIBABA_CLOUD_ROLE_ARN, ALIBABA_CLOUD_OIDC_PROVIDER_ARN, ALIBABA_CLOUD_OIDC_TOKEN_FILE; "
    "or use a profile of the Alibaba Cloud CLI, or an ECS RAM role."
)
ROLE_ADVICE: Final = (
    "Grant sts:AssumeRole on {role_arn} to the credential in use, add its identity to the role's "
    "trust policy, and check that STS can be reached. If there is no credential: "
)

_CODE: Final = re.compile(r"\"?\bCode\"?\s*[:=]\s*\"?([A-Za-z][A-Za-z.]{2,63})\b")
_LIBRARY_TEXTS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), reason)
    for pattern, reason in (
        (r".*?(?:http_?code[:=]|status code:)\s*(\d{3})", r"the service answered HTTP \1"),
        (r".*(?:result|OAuth token): ", "the service's answer holds no credential"),
        (r".*expired", "the sign-in has expired; sign in again with the Alibaba Cloud CLI"),
        (r".*(?:unable to get profile|invalid profile name)", "it has no such profile"),
        (r".*unsupported (?:profile mode|credential type)", "its type is not supported"),
        (r".*external command: exit status (\d+)", r"its command failed with exit status \1"),
        (r".*command process timed out", "its command took too long"),
        (r".*(?:external command|process_command)", "its command gives no credential"),
        (r".*empty", "a value that it needs is missing"),
    )
)


class UnusableError(Exception):
    """A provider is configured, and of no use; the text says why, and holds no secret."""


def describe(error: Exception) -> str:
    """Return why a provider failed."""
    if isinstance(error, (UnusableError, ExporterError)):
        return str(error)
    if isinstance(error, httpx.HTTPError):
        return str(from_transport_error("STS", error, timeout=_seconds(error)))
    if isinstance(error, OSError) and error.errno:
        return ": ".join(filter(None, (str(error.filename or ""), os.strerror(error.errno))))
    if isinstance(error, json.JSONDecodeError):
        return "the service's answer is not JSON"
    code = _CODE.search(str(error))
    said = f" and said {code[1]}" if code else ""
    for pattern, reason in _LIBRARY_TEXTS:
        found = pattern.match(str(error))
        if found:
            return found.expand(reason) + said
    return type(error).__name__ + said


def _seconds(error: httpx.HTTPError) -> float:
    timeouts = error.request.extensions["timeout"]
    seconds: float = timeouts["connect" if isinstance(error, httpx.ConnectTimeout) else "read"]
    return seconds
