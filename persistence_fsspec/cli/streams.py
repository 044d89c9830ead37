"""The standard streams of the process: every name can be printed, and a closed one is not mistaken for a file."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
from typing import Final

_ERRORS: Final = "persistence_fsspec.printed"


def prepare() -> None:
    """Make the streams of this process fit for any name. Once, before anything is opened."""
    _occupy()
    codecs.register_error(_ERRORS, printed)
    for stream, errors in ((sys.stdout, _ERRORS), (sys.stderr, "backslashreplace")):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=errors)
    if sys.stderr is None:  # print() would turn to standard output
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for the life of the process


def printed(exc: UnicodeError) -> tuple[str | bytes, int]:
    """An error handler: a byte that was no Unicode is that byte again, and what the encoding lacks is escaped."""
    if not isinstance(exc, UnicodeEncodeError):
        raise exc
    code = ord(exc.object[exc.start])
    if 0xDC80 <= code <= 0xDCFF:
        return bytes([code - 0xDC00]), exc.start + 1
    one = UnicodeEncodeError(exc.encoding, exc.object, exc.start, exc.start + 1, exc.reason)
    return codecs.backslashreplace_errors(one)


def _occupy() -> None:
    """A closed descriptor would be given to the next file that is opened, and what is printed would go into it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with contextlib.suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # gets the lowest that is free, which is this one
