"""Faults that no protocol notices: a bit that flips on the way, and an object that is replaced while it is being read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .faults import Fault
from .faults_ftp import FtpFaults
from .faults_http import Answer, HttpFaults, Request
from .meter import object_name

_CONTENTS = ("STOR", "APPE", "RETR")


def nothing() -> None:
    """Replaces nothing."""


class HttpCorruption(HttpFaults):
    """Faults in the contents of objects, besides all others; headers and listings stay as they are.

    ``flip-request``, ``flip-answer``: bit `Fault.amount` (modulo the length) of the body of a PUT, or of a GET.
    ``swap``: `swap` is called, before a GET is passed on (even `Fault.amount`), or after it was answered.
    """

    kinds = (*HttpFaults.kinds, "flip-request", "flip-answer", "swap")
    swap: Callable[[], None] = staticmethod(nothing)

    def _ask(self, request: Request) -> Answer:
        content = bool(object_name(request.method, request.target))
        sends, fetches = content and request.method == "PUT", content and request.method == "GET"
        if sends and request.body and (fault := self.due(self.seen, str(request), "flip-request")):
            request = replace(request, body=flipped(request.body, fault.amount))
        swap = self.due(self.seen, str(request), "swap") if content else None
        if swap is not None and swap.amount % 2 == 0:
            self.swap()
        answer = super()._ask(request)
        if swap is not None and swap.amount % 2:
            self.swap()
        if (
            fetches
            and answer.status in {200, 206}
            and answer.body
            and (fault := self.due(self.seen, str(request), "flip-answer"))
        ):
            return replace(answer, body=flipped(answer.body, fault.amount))
        return answer


class FtpCorruption(FtpFaults):
    """Faults in the contents of files, besides all others.

    ``flip-content``: a bit of the first piece of a file's content that reaches beyond byte `Fault.amount` of a transfer.
    ``swap``: `swap` is called when a transfer reaches beyond that byte.
    """

    kinds = (*FtpFaults.kinds, "flip-content", "swap")
    swap: Callable[[], None] = staticmethod(nothing)

    def passing(self, data: bytes, command: str, before: int) -> bytes:
        if command.partition(" ")[0].upper() not in _CONTENTS:
            return data
        if self._reached("swap", command, before + len(data)) is not None:
            self.swap()
        if data and (fault := self._reached("flip-content", command, before + len(data))) is not None:
            return flipped(data, fault.amount * 8)
        return data

    def _reached(self, kind: str, command: str, position: int) -> Fault | None:
        with self._lock:
            ready = any(one.kind == kind and one.at <= self.seen and one.amount < position for one in self._pending)
        return self.due(self.seen, command, kind) if ready else None


def flipped(data: bytes, bit: int) -> bytes:
    """One bit of *data* is another.

    Examples:
        >>> flipped(b"ab", 8)
        b'ac'
    """
    place = bit // 8 % len(data)
    return data[:place] + bytes([data[place] ^ 1 << bit % 8]) + data[place + 1 :]
