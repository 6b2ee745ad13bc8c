"""How the service says no. Codes: those of the vendor's common error pages."""

from dataclasses import dataclass, field

from exporter.demo.jsontext import dump


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is an error: HTTP status, the vendor's code, further headers."""

    status: int
    code: str | None
    message: str = ""
    headers: tuple[tuple[str, str], ...] = field(default=())

    def text(self, request_id: str, host: str, *, camel_case: bool = False) -> str:
        """Write the body: the vendor's fields, in the vendor's usual spelling or the other."""
        names: tuple[str, ...] = ("RequestId", "Code", "Message", "HostId", "Recommend")
        advice = f"https://api.alibabacloud.com/troubleshoot?q={self.code}"
        values = (request_id, self.code, self.message, host, advice)
        if camel_case:
            names = tuple(name[0].lower() + name[1:] for name in names)
        return dump(dict(zip(names, values, strict=True)))


class Refused(Exception):  # noqa: N818  the word of the domain
    """Carries a refusal from where it is decided to where it is answered."""

    def __init__(self, refusal: Refusal) -> None:
        """Wrap a refusal."""
        super().__init__(refusal.code, refusal.message)
        self.refusal = refusal


def missing_parameter(name: str) -> Refused:
    """Refuse a request without a parameter."""
    return Refused(Refusal(400, f"MissingParameter.{name}", f"{name} is mandatory."))


def invalid_parameter(name: str) -> Refused:
    """Refuse a value."""
    return Refused(Refusal(400, "InvalidParameter", f"The parameter {name} is invalid."))


def invalid_api(message: str) -> Refused:
    """Refuse a path, a version or an action that does not exist, or that do not match."""
    return Refused(Refusal(404, "InvalidApi.NotFound", message))


def nothing_there(status: int) -> Refused:
    """Refuse an unknown or foreign workspace or gateway: the code is null."""
    return Refused(Refusal(status, None, "The resource does not exist or is not yours."))


def bad_signature(message: str) -> Refused:
    """Refuse a signature, and say what was wrong with it."""
    return Refused(Refusal(400, "SignatureDoesNotMatch", message))


def throttled(
    *,
    status: int = 400,
    code: str = "Throttling.User",
    retry_after_ms: int | None = None,
    retry_after: str | None = None,
) -> Refusal:
    """Ask for patience: `x-acs-retry-after` in milliseconds, `Retry-After` in seconds or a date."""
    headers = []
    if retry_after_ms is not None:
        headers.append(("x-acs-retry-after", str(retry_after_ms)))
    if retry_after is not None:
        headers.append(("Retry-After", retry_after))
    message = "Request was denied due to user flow control."
    return Refusal(status, code, message, tuple(headers))
