"""The socket that the daemon listens on."""

import socket

import pytest

from exporter.errors import AddressInUseError
from exporter.web import bind


def test_connections_send_without_delay() -> None:
    """TCP_NODELAY: a streamed response does not wait for acknowledgements."""
    with bind("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_port_in_use_is_reported_with_the_setting() -> None:
    """The error is one line and says what to do."""
    with bind("127.0.0.1", 0) as taken, pytest.raises(AddressInUseError) as caught:
        bind("127.0.0.1", taken.getsockname()[1])
    (problem,) = caught.value.problems
    assert problem.endswith("choose another address with --web.listen-address")


def test_unusable_listen_address_is_reported_with_the_reason() -> None:
    """Also resolver errors, whose numbers are not errno."""
    with pytest.raises(AddressInUseError) as caught:
        bind("fe80::1%nosuch", 9825)
    (problem,) = caught.value.problems
    assert problem.startswith("cannot listen on [fe80::1%nosuch]:9825: Name or service not known;")


def test_server_listens_on_ipv6() -> None:
    """The address is written without brackets."""
    with bind("::1", 0) as listener:
        assert listener.family == socket.AF_INET6
