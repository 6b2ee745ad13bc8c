"""Access control by the file of Prometheus' exporter-toolkit, as `--web.config.file` names it.

The file's form is that of the toolkit's `docs/web-configuration.md`. What hardly anybody sets, or
this server cannot do as the toolkit does it, is refused with a reason.

middleware   what every request passes: `token_bucket` (rate limit), `passwords`, headers
file         the file, read and checked; `file_schema` its keys, `tls` what it asks of TLS
reloading    the configuration in use, kept up with the file
turns        one at a time, each address in its turn
"""

from exporter.web.access.file import WebConfig
from exporter.web.access.middleware import AccessMiddleware
from exporter.web.access.reloading import ReloadingWebConfig

__all__ = ["AccessMiddleware", "ReloadingWebConfig", "WebConfig"]
