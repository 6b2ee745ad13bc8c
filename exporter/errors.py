"""The error tree.

    ExporterError
    ├── UsageError                  what the operator gave is wrong (exit code 2)
    │   ├── SettingsError           settings: flags, environment, file
    │   ├── WebConfigError          the file of web.config.file, or a certificate it names
    │   └── AddressInUseError       the listen address cannot be bound
    ├── ThreadLimitError            no thread can be started
    └── PollError                   a poll of one target failed; carries its `reason`
        ├── ApiError                one call of the API failed
        │   ├── ThrottledError      throttled
        │   ├── PermissionDeniedError  permission
        │   ├── CredentialError     credential
        │   ├── ClockSkewError      clock
        │   ├── TimedOutError       timeout
        │   ├── UnreachableError    network
        │   ├── ServerError         server
        │   ├── MalformedError      malformed
        │   └── TooLargeError       too_large
        ├── PagingError             paging: the service's page tokens make no sense
        ├── IncompleteError         incomplete: the pages do not add up to a whole listing
        └── LedgerError             ledger: it cannot be opened, read or written

Every failure that a poll can meet is one of these, so the poll boundary only asks for
`reason`; whatever else arrives there is a bug and is counted as `internal`.
Messages are for people: they say what happened, then what to do, and never hold a secret.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why a poll, a discovery or a call failed: the closed list behind their `reason` label."""

    THROTTLED = "throttled"
    PERMISSION = "permission"
    CREDENTIAL = "credential"
    CLOCK = "clock"
    TIMEOUT = "timeout"
    NETWORK = "network"
    SERVER = "server"
    PAGING = "paging"
    INCOMPLETE = "incomplete"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    LEDGER = "ledger"
    INTERNAL = "internal"


class ExporterError(Exception):
    """Anything this program raises on purpose."""


class UsageError(ExporterError):
    """What the operator gave is wrong; each problem is one line that says what to do."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class SettingsError(UsageError):
    """Settings are wrong: a flag, a variable, a key of the file, or their combination."""


class WebConfigError(UsageError):
    """The file of `web.config.file` is wrong, or a certificate that it names."""


class AddressInUseError(UsageError):
    """The listen address cannot be bound."""


class ThreadLimitError(ExporterError):
    """No thread can be started, because a limit on threads or on memory is reached."""

    def __init__(self) -> None:
        super().__init__(
            "cannot start a thread: a limit on threads or on memory is reached; raise TasksMax= or"
            " LimitAS= (systemd), --pids-limit (Docker), podPidsLimit (Kubernetes), ulimit -u or"
            " ulimit -v, or lower the stack of a thread with ulimit -s"
        )


class PollError(ExporterError):
    """A poll of one target failed; `reason` is the label, `advice` says what to do."""

    reason: Reason = Reason.INTERNAL

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice

    @property
    def with_advice(self) -> str:
        """What happened, then what to do."""
        return "; ".join(filter(None, (str(self), self.advice)))


class ApiError(PollError):
    """One call failed.

    `code` is the service's own word (never for a label); `status` is the HTTP status, 0 if no
    answer came.
    """

    reason = Reason.SERVER

    def __init__(
        self,
        message: str,
        *,
        advice: str = "",
        status: int = 0,
        code: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, advice=advice)
        self.status = status
        self.code = code
        self.retry_after = retry_after
        """Seconds the service asked us to wait, where it did."""


class ThrottledError(ApiError):
    """The service refuses because there were too many calls."""

    reason = Reason.THROTTLED


class PermissionDeniedError(ApiError):
    """The credential may not do this; the message names the RAM action."""

    reason = Reason.PERMISSION


class CredentialError(ApiError):
    """There is no credential, or the service does not accept it."""

    reason = Reason.CREDENTIAL


class ClockSkewError(ApiError):
    """This machine's clock is too far from the service's."""

    reason = Reason.CLOCK


class TimedOutError(ApiError):
    """No answer, or no further byte of it, arrived in time."""

    reason = Reason.TIMEOUT


class UnreachableError(ApiError):
    """The connection could not be made, or broke."""

    reason = Reason.NETWORK


class ServerError(ApiError):
    """The service answered with an error of its own, or refused what we asked."""

    reason = Reason.SERVER


class MalformedError(ApiError):
    """The answer as a whole is not what the API documents."""

    reason = Reason.MALFORMED


class TooLargeError(ApiError):
    """The answer is larger than `api.max-response-bytes`."""

    reason = Reason.TOO_LARGE


class PagingError(PollError):
    """The service's paging goes in circles: a repeated token, an empty page with a token."""

    reason = Reason.PAGING


class IncompleteError(PollError):
    """The listing ended before everything that the service counts was in it."""

    reason = Reason.INCOMPLETE


class LedgerFailure(StrEnum):
    """Why the ledger could not be used: the label of `exporter_ledger_failures_total`."""

    FULL = "full"
    LOCKED = "locked"
    CORRUPT = "corrupt"
    IO = "io"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    LOST = "lost"


class LedgerError(PollError):
    """The ledger cannot be opened, read or written."""

    reason = Reason.LEDGER

    def __init__(
        self,
        message: str,
        *,
        advice: str = "",
        kind: LedgerFailure = LedgerFailure.IO,
        is_passing: bool = False,
    ) -> None:
        """Make an error that, where it `is_passing`, may end by itself."""
        super().__init__(message, advice=advice)
        self.kind = kind
        self.is_passing = is_passing

    @property
    def is_lost(self) -> bool:
        """Whether another process has the ledger now."""
        return self.kind is LedgerFailure.LOST
