"""The URL of the API, which may contain `{region}`."""

import ipaddress
from urllib.parse import SplitResult, urlsplit

_ADVICE = "give a URL such as https://emr-serverless-spark.{region}.aliyuncs.com"


def parse(text: str) -> str:
    """Check the URL and return it without a slash at its end.

    Raises `ValueError` that says what to give: plain `http` is refused except to loopback,
    because session names and signed requests would cross the network in the clear.
    """
    url = _split(text.strip())
    if url.username is not None or url.password is not None:
        raise ValueError("give a URL without user name and password; requests are signed")
    if url.path.strip("/") or url.query or url.fragment:
        raise ValueError(f"{_ADVICE}, without a path")
    if url.scheme == "http" and not _is_loopback(url.hostname or ""):
        raise ValueError("use https; plain http is allowed to loopback only")
    return f"{url.scheme}://{url.netloc}"


def _split(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        port_is_good = url.port is None or url.port > 0
    except ValueError:
        raise ValueError(_ADVICE) from None
    host = (url.hostname or "").replace("{region}", "region")
    if url.scheme not in {"http", "https"} or not host or not port_is_good:
        raise ValueError(_ADVICE)
    if any(character in host for character in "{} \t\\"):
        raise ValueError(f"{_ADVICE}; {{region}} is the only placeholder")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
