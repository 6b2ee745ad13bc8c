"""Who gets in: the file of Prometheus' exporter-toolkit, as `--web.config.file` names it.

The file's form is that of the toolkit's `docs/web-configuration.md`. What hardly anybody sets, or
this server cannot do as the toolkit does it, is refused with a reason.
"""

from exporter.web.access.file import WebConfig
from exporter.web.access.middleware import AccessMiddleware
from exporter.web.access.reloading import ReloadingWebConfig

__all__ = ["AccessMiddleware", "ReloadingWebConfig", "WebConfig"]
