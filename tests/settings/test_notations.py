"""Notations of durations, sizes, lists, listen addresses and endpoints."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.settings import durations, endpoints, listen, lists, sizes
from exporter.settings.listen import ListenAddress


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("250ms", 0.25),
        ("10s", 10.0),
        ("1.5m", 90.0),
        ("6h", 21600.0),
        ("400d", 34560000.0),
        ("2w", 1209600.0),
        ("1h30m", 5400.0),
        ("1w2d3h4m5s6ms", 788645.006),
        ("45", 45.0),
        (" 0.5 ", 0.5),
        (90, 90.0),
        (0.1, 0.1),
    ],
)
def test_durations_are_read_with_units_or_as_seconds(written: object, seconds: float) -> None:
    """A duration is one or more numbers with units, or a number of seconds."""
    assert durations.parse(written) == seconds


@pytest.mark.parametrize(
    "written",
    [
        "",
        " soon",
        "1x",
        "h",
        "-5s",
        "1m1h",
        "1h1h",
        "1 h",
        "1e3",
        "nan",
        "inf",
        "\u0661s",
        ".",
        "1.s",
        True,
        None,
        [1],
    ],
)
def test_an_invalid_duration_is_refused_with_an_example(written: object) -> None:
    """The message shows a valid one."""
    with pytest.raises(ValueError, match="such as 30s, 5m or 1h30m"):
        durations.parse(written)


@pytest.mark.parametrize("written", ["0", "0s", 0, -1, float("nan")])
def test_zero_and_negative_durations_are_refused(written: object) -> None:
    """Also where a unit is given."""
    with pytest.raises(ValueError, match="more than 0"):
        durations.parse(written)


@pytest.mark.parametrize("written", ["36501d", float("inf"), "9" * 400])
def test_durations_over_a_hundred_years_are_refused(written: object) -> None:
    """Timers would overflow."""
    with pytest.raises(ValueError, match="at most 36500d"):
        durations.parse(written)


@given(st.floats(min_value=1e-6, max_value=durations.LONGEST))
def test_a_formatted_duration_can_be_parsed(seconds: float) -> None:
    """It gives the same value."""
    assert durations.parse(durations.write(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0.25, "250ms"), (90.0, "90s"), (60.0, "1m"), (5400.0, "90m"), (34560000.0, "400d")],
)
def test_durations_are_formatted_in_the_largest_whole_unit(seconds: float, written: str) -> None:
    """As a person would write them."""
    assert durations.write(seconds) == written


@pytest.mark.parametrize(
    ("written", "size"),
    [("16MiB", 16 * 2**20), ("1.5KiB", 1536), ("2 gb", 2 * 10**9), ("10B", 10), (7, 7), ("7", 7)],
)
def test_sizes_are_read_in_binary_and_decimal_units(written: object, size: int) -> None:
    """A size is a number with a unit, or a number of bytes."""
    assert sizes.parse(written) == size


@pytest.mark.parametrize("written", ["", "big", "1 TiB", "MiB", "-1KiB", True, 1.5, "1iB"])
def test_an_invalid_size_is_refused_with_an_example(written: object) -> None:
    """The message shows a valid one."""
    with pytest.raises(ValueError, match="such as 16MiB"):
        sizes.parse(written)


def test_sizes_are_whole_bytes() -> None:
    """A fraction of a byte is refused."""
    with pytest.raises(ValueError, match="whole number of bytes"):
        sizes.parse("1.0001KiB")


@given(st.integers(min_value=0, max_value=2**40))
def test_a_formatted_size_can_be_parsed(size: int) -> None:
    """It gives the same value."""
    assert sizes.parse(sizes.write(size)) == size


@pytest.mark.parametrize(
    ("written", "items"),
    [
        ("a,b", ("a", "b")),
        (" a , b ,", ("a", "b")),
        ('["a", "b"]', ("a", "b")),
        ('["a,b"]', ("a,b",)),
        ("", ()),
        ("[]", ()),
        ("[ab]*", ("[ab]*",)),
        (["a"], ["a"]),
    ],
)
def test_lists_are_read_comma_separated_and_as_json(written: object, items: object) -> None:
    """Whether the items are texts is checked by the schema."""
    assert lists.parse(written) == items


@pytest.mark.parametrize("written", ['["a"', '["a", 1]', "["])
def test_malformed_json_lists_are_refused(written: str) -> None:
    """A value that begins with `[` is read as JSON."""
    with pytest.raises(ValueError, match="give a list such as"):
        lists.parse(written)


@given(st.lists(st.text()))
def test_a_formatted_list_can_be_parsed(items: list[str]) -> None:
    """It gives the same value."""
    assert lists.parse(lists.write(items)) == tuple(items)


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("127.0.0.1:9825", ListenAddress("127.0.0.1", 9825)),
        (":9825", ListenAddress("", 9825)),
        ("[::1]:9825", ListenAddress("::1", 9825)),
        ("localhost:0", ListenAddress("localhost", 0)),
    ],
)
def test_listen_addresses_are_parsed_and_formatted(written: str, address: ListenAddress) -> None:
    """A host, or nothing for all interfaces, and a port."""
    assert listen.parse(written) == address
    assert str(address) == written


def test_an_ipv4_address_written_as_ipv6_is_listened_on_as_ipv4() -> None:
    """The kernel does not let a listener for IPv6 alone have it."""
    assert str(listen.parse("[::ffff:127.0.0.1]:9825")) == "127.0.0.1:9825"


@pytest.mark.parametrize(
    "written",
    [
        *("", "9825", "host", "host:", "::1:9825", "[::g]:1", "h:65536", "http://h:1", "a b:1"),
        *("a..b:1", "ü..b:1", f"{'h' * 64}:1"),
    ],
)
def test_invalid_listen_addresses_are_refused_with_an_example(written: str) -> None:
    """The message shows a valid one."""
    with pytest.raises(ValueError, match=r"such as 127\.0\.0\.1:9825"):
        listen.parse(written)


@pytest.mark.parametrize(
    ("written", "endpoint"),
    [
        ("https://emr.{region}.example.com/", "https://emr.{region}.example.com"),
        ("https://emr.example.com:8443", "https://emr.example.com:8443"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://127.8.9.1", "http://127.8.9.1"),
        ("http://localhost:8000/", "http://localhost:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_endpoints_use_https_or_loopback(written: str, endpoint: str) -> None:
    """An endpoint is a URL without a path; plain HTTP is for loopback only."""
    assert endpoints.parse(written) == endpoint


@pytest.mark.parametrize(
    ("written", "advice"),
    [
        ("http://emr.example.com", "use https"),
        ("http://127.0.0.1.example.com", "use https"),
        ("http://{region}", "use https"),
        ("https://key:secret@emr.example.com", "without user name and password"),
        ("https://emr.example.com/path", "without a path"),
        ("https://emr.example.com?x=1", "without a path"),
        ("https://emr.{zone}.example.com", "only placeholder"),
        ("emr.example.com", "give a URL"),
        ("ftp://emr.example.com", "give a URL"),
        ("https://", "give a URL"),
        ("https://[::1", "give a URL"),
        ("https://h:99999", "give a URL"),
        ("", "give a URL"),
    ],
)
def test_invalid_endpoints_are_refused_with_the_reason(written: str, advice: str) -> None:
    """The message never contains a password of the URL."""
    with pytest.raises(ValueError, match=advice) as caught:
        endpoints.parse(written)
    assert "secret" not in str(caught.value)
