"""The log of failed sessions: their reason is told once, and kept by the log."""

from collections.abc import Mapping, Sequence

import structlog

from exporter.model import LivySession, Target

_log = structlog.get_logger(__name__)

SESSION_FAILED = "session_failed"

_ERROR = "error"


def log_failures(
    target: Target,
    records: Sequence[LivySession],
    before: Mapping[str, str],
    after: Mapping[str, str],
) -> None:
    """Log each session of `records` whose failure is counted now.

    `before` and `after` tell how sessions have ended lately, by their ids.
    """
    for record in records:
        session_id = record.session_id
        if record.state == _ERROR == after.get(session_id) != before.get(session_id):
            _log.info(
                SESSION_FAILED,
                workspace=target.workspace_id,
                gateway=target.livy_compute_id,
                session=session_id,
                name=record.name,
                user=record.proxy_user,
                queue=record.queue,
                message=record.info,
            )
