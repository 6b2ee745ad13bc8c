"""Who gets in: the file of Prometheus' exporter-toolkit, as `--web.config.file` names it.

The file's form is that of the toolkit's `docs/web-configuration.md`. What this server cannot do
as the toolkit does it is refused with a reason, never passed over.
"""

from exporter.web.access.file import WebConfig
from exporter.web.access.guard import Guard
from exporter.web.access.tls import Tls
from exporter.web.access.watched import Access

__all__ = ["Access", "Guard", "Tls", "WebConfig"]
