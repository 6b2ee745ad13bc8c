"""PgBouncer before a PostgreSQL of the tests."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.postgres import HOST, SUPERUSER, Cluster
from tests.support.processes import free_port
from tests.support.server_folders import folder, ordinary_user, wait_until
from tests.support.tools import find_tool


@contextmanager
def pgbouncer(cluster: Cluster, port: int = 0, **settings: str) -> Iterator[int]:
    """Run PgBouncer in transaction mode inside the block; yield the port for `Database.at`.

    It ends at once after the block, and closes all connections.
    """
    binary = find_tool("pgbouncer", "/usr/sbin")
    with folder() as place:
        port = port or free_port()
        _write_files(place, port, cluster, settings)
        subprocess.run(
            [binary, "--daemon", "--quiet", place / "pgbouncer.ini"],
            check=True,
            cwd=place,
            stdin=subprocess.DEVNULL,
            **ordinary_user(),
        )
        wait_until((place / "pgbouncer.pid").exists, "PgBouncer has started")
        yield port
        # SIGQUIT has no effect where a shell has started the tests in the background.
        os.kill(int((place / "pgbouncer.pid").read_text()), signal.SIGKILL)
        wait_until(lambda: not _is_listening(port), "PgBouncer has ended")


def _is_listening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex((HOST, port)) == 0


def _write_files(place: Path, port: int, cluster: Cluster, settings: Mapping[str, str]) -> None:
    lines: Mapping[str, object] = {
        "listen_addr": HOST,
        "listen_port": port,
        "unix_socket_dir": "",
        "logfile": place / "log",
        "pidfile": place / "pgbouncer.pid",
        "pool_mode": "transaction",
        "auth_type": "trust",
        "auth_file": place / "roles",
        "auth_user": SUPERUSER,  # it asks the server which roles there are
        **settings,
    }
    (place / "roles").write_text(f'"{SUPERUSER}" ""\n')
    (place / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={HOST} port={cluster.port}\n[pgbouncer]\n"
        + "".join(f"{name} = {value}\n" for name, value in lines.items())
    )
