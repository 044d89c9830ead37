"""CRC32C, the digest that can be computed in parts, in any order: RFC 3720, appendix B.4.

It runs many times faster than MD5, cloud stores speak it, and the digest of an object follows from those of its parts.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from google_crc32c import extend, value

ALGORITHM: Final = "crc32c"
_POLYNOMIAL: Final = 0x82F63B78  # reflected

_Matrix = tuple[int, ...]


def crc32c(data: bytes, before: str = "") -> str:
    """The CRC32C of bytes, as eight hexadecimal digits.

    Args:
        data: The bytes.
        before: Of what stands in front of them.

    Examples:
        >>> crc32c(b"123456789")
        'e3069283'
        >>> crc32c(b"56789", crc32c(b"1234"))
        'e3069283'
    """
    return f"{extend(int(before, 16), data) if before else value(data):08x}"


def combined(parts: Iterable[tuple[int, str]]) -> str:
    """The CRC32C of a whole from those of its parts, without their bytes.

    Args:
        parts: Size in bytes and CRC32C of each, in order. None at all gives that of no bytes.

    Examples:
        >>> combined([(4, crc32c(b"1234")), (5, crc32c(b"56789"))])
        'e3069283'
    """
    found = 0
    for size, crc in parts:
        found = _times(_zeros(size), found) ^ int(crc, 16)
    return f"{found:08x}"


@lru_cache(maxsize=64)
def _zeros(size: int) -> _Matrix:
    """What so many zero bytes do to a CRC: a matrix over GF(2), one column per bit.

    The way of zlib's ``crc32_combine``: square the operator of one zero bit, and multiply those powers that *size* is made of.
    """
    power: _Matrix = (_POLYNOMIAL, *(1 << bit for bit in range(31)))  # one zero bit
    for _ in range(3):
        power = _squared(power)  # one zero byte
    found: _Matrix = tuple(1 << bit for bit in range(32))
    while size:
        if size & 1:
            found = tuple(_times(power, column) for column in found)
        size >>= 1
        power = _squared(power)
    return found


def _squared(matrix: _Matrix) -> _Matrix:
    return tuple(_times(matrix, column) for column in matrix)


def _times(matrix: _Matrix, vector: int) -> int:
    found = 0
    for column in matrix:
        if vector & 1:
            found ^= column
        vector >>= 1
        if not vector:
            break
    return found
