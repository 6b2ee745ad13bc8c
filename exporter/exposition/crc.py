"""The CRC-32 of a whole, from those of its parts, without looking at the bytes again.

The way of zlib's `crc32_combine`: a CRC is a polynomial modulo `_POLYNOMIAL`, and bytes that
follow multiply it by a power of x, which depends on their number alone. The highest bit of
an integer here is the coefficient of x^0.
"""

from collections.abc import Iterable

_POLYNOMIAL = 0xEDB88320
_ONE = 1 << 31
_BITS_OF_A_BYTE = 3  # as a power of two


def shift_of(size: int) -> int:
    """Give the power of x that stands for `size` bytes that follow."""
    shift, exponent = _ONE, _BITS_OF_A_BYTE
    while size:
        if size & 1:
            shift = _product(_POWERS[exponent % 32], shift)
        size >>= 1
        exponent += 1
    return shift


def combined(first: int, second: int, shift: int) -> int:
    """Give the CRC of two parts in a row; `shift` is that of the second one's size."""
    return _product(shift, first) ^ second


def combined_all(parts: Iterable[tuple[int, int]]) -> int:
    """Give the CRC of parts in a row, each given by its CRC and its shift."""
    crc = 0
    for part, shift in parts:
        crc = combined(crc, part, shift)
    return crc


def _product(a: int, b: int) -> int:
    found = 0
    while a:
        if a & _ONE:
            found ^= b
        a = (a << 1) & 0xFFFFFFFF
        b = (b >> 1) ^ _POLYNOMIAL if b & 1 else b >> 1
    return found


def _powers() -> tuple[int, ...]:
    """Give x to the powers of 1, 2, 4, and so on; they repeat after 32 of them."""
    powers = [_ONE >> 1]
    while len(powers) < 32:  # noqa: PLR2004 - the bits of a CRC
        powers.append(_product(powers[-1], powers[-1]))
    return tuple(powers)


_POWERS = _powers()
