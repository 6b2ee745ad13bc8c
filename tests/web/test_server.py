"""The socket that the daemon listens on."""

import socket

import pytest

from exporter.errors import AddressInUseError
from exporter.web import bind


def test_connections_send_at_once() -> None:
    """An answer in pieces does not wait for the acknowledgement of its first piece."""
    with bind("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_taken_port_says_what_to_do() -> None:
    """The error is one line, and names the setting."""
    with bind("127.0.0.1", 0) as taken, pytest.raises(AddressInUseError) as caught:
        bind("127.0.0.1", taken.getsockname()[1])
    (problem,) = caught.value.problems
    assert problem.endswith("choose another address with --web.listen-address")


def test_an_unusable_listen_address_is_reported_with_the_reason() -> None:
    """Also errors of the resolver, which have their own numbers."""
    with pytest.raises(AddressInUseError) as caught:
        bind("fe80::1%nosuch", 9825)
    (problem,) = caught.value.problems
    assert problem.startswith("cannot listen on [fe80::1%nosuch]:9825: Name or service not known;")


def test_ipv6_can_be_listened_on() -> None:
    """An address in IPv6 is no different."""
    with bind("::1", 0) as listener:
        assert listener.family == socket.AF_INET6
