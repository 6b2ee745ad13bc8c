"""nginx, serving a file: the yardstick for a scrape."""

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import free_port

_CONFIG = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{
    listen 127.0.0.1:{port}; root {folder};
    default_type "text/plain; version=0.0.4; charset=utf-8"; add_header Content-Encoding gzip;
  }}
}}
"""


@contextlib.contextmanager
def nginx(page: bytes) -> Iterator[int]:
    """Serve `page` at `/metrics`; give the port."""
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # the worker is another user
        (folder / "metrics").write_bytes(page)
        (folder / "nginx.conf").write_text(_CONFIG.format(folder=name, port=port), "utf-8")
        command = [_path(), "-c", f"{name}/nginx.conf", "-e", f"{name}/error.log"]
        with subprocess.Popen(command) as process:
            _wait_for(port)
            yield port
            process.terminate()


def is_installed() -> bool:
    """Whether nginx and wrk are there (Debian: nginx-light and wrk)."""
    return bool(shutil.which("wrk") and _path())


def _path() -> str:
    return shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin") or ""


def _wait_for(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
