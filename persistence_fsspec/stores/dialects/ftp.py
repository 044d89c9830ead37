"""FTP through the client inside fsspec's driver: the driver's own reads and writes lose errors and appends."""

from __future__ import annotations

import contextlib
import ftplib
import socket
import ssl
import weakref
from collections.abc import Generator, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any, Final

from persistence_fsspec.errors import (
    IsAFolderError,
    NotAFolderError,
    ObjectNotFoundError,
    PermissionDeniedError,
    StoreError,
)
from persistence_fsspec.foreign import classify
from persistence_fsspec.store import ObjectInfo
from persistence_fsspec.stores.dialects.base import Dialect

_SOCKET_PIECE: Final = 256 * 1024
_TRUST_SECONDS: Final = 10.0
_GOODBYE_SECONDS: Final = 2.0


class FtpDialect(Dialect):
    """Quirks ftp-*."""

    def patience(self, options: dict[str, Any], *, stall_seconds: float) -> dict[str, Any]:
        """Of the control connection and of each data connection."""
        return {"timeout": stall_seconds, **options}

    def interrupt(self, fs: Any) -> None:
        """Hang up; the control connection first, so that nobody takes the end of the data for an orderly one."""
        for connection in (fs.ftp.sock, getattr(fs.ftp, "persistence_data", None)):
            if connection is not None:
                with contextlib.suppress(OSError):
                    # Not by the method of an SSL socket, which another thread is reading from.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def connected(self, fs: Any) -> None:
        """Learn once whether the server has MLST and MLSD (RFC 3659), and keep an eye on the data connections."""
        _remember_data(fs.ftp)
        try:
            features = fs.ftp.sendcmd("FEAT")
        except ftplib.Error:
            features = ""
        fs.persistence_mlst = "MLST" in features.upper()
        fs.persistence_binary = False
        _binary(fs)

    def alive(self, fs: Any, idle_seconds: float) -> bool:
        """Servers hang up on idle connections, without a word until the next command."""
        if idle_seconds < _TRUST_SECONDS:
            return True
        try:
            fs.ftp.voidcmd("NOOP")
        except (ftplib.Error, OSError, EOFError):
            return False
        return True

    def close(self, fs: Any) -> None:
        """QUIT, without waiting long for the answer; the sockets are closed in any case."""
        try:
            fs.ftp.sock.settimeout(_GOODBYE_SECONDS)
            fs.ftp.quit()
        finally:
            if fs.ftp.persistence_data is not None:
                fs.ftp.persistence_data.close()
            fs.ftp.close()

    def info(self, fs: Any, path: str) -> ObjectInfo:
        """MLST, else SIZE and MDTM, else what the folder above lists."""
        if path in {"", "/"}:
            fs.ftp.voidcmd("NOOP")
            return ObjectInfo(key="/", kind="folder")
        try:
            return self._mlst(fs, path) if fs.persistence_mlst else self._size(fs, path)
        except ftplib.error_perm as exc:
            if classify(exc) is ObjectNotFoundError and fs.persistence_mlst:
                raise ObjectNotFoundError("not found") from exc
            return self._listed(fs, path, exc)

    def _mlst(self, fs: Any, path: str) -> ObjectInfo:
        lines = fs.ftp.sendcmd(f"MLST {path}").split("\n")
        facts, _, _ = lines[1].lstrip().partition(" ")
        return self._from_facts(path, dict(fact.partition("=")[::2] for fact in facts.lower().split(";") if fact))

    def _size(self, fs: Any, path: str) -> ObjectInfo:
        _binary(fs)  # in ASCII many servers refuse SIZE
        size = fs.ftp.size(path)
        modified = None
        with contextlib.suppress(ftplib.Error):
            modified = _time(fs.ftp.sendcmd(f"MDTM {path}")[4:])
        return ObjectInfo(key=path, size=size, modified=modified)

    def _listed(self, fs: Any, path: str, why: ftplib.Error) -> ObjectInfo:
        """Settle a 550 that may mean anything: enter the folder, else look for the name in the one above."""
        if self._enters(fs, path):
            return ObjectInfo(key=path, kind="folder")
        parent = path.rpartition("/")[0] or "/"
        if not self._enters(fs, parent):
            if parent != "/" and not self._listed(fs, parent, why).is_folder:
                raise NotAFolderError(f"{parent} is a file") from why
            if not self._enters(fs, parent):  # it may have been made just now
                raise PermissionDeniedError(f"the server does not let us into {parent}") from why
        for found in self.children(fs, parent):
            if found.key == path:
                return found
        raise ObjectNotFoundError("not found") from why

    def children(self, fs: Any, path: str) -> Iterator[ObjectInfo]:
        """MLSD, else the driver's reading of LIST, whose times are too coarse to use."""
        path = path or "/"
        if not fs.persistence_mlst:
            yield from self._list(fs, path)
            return
        fs.persistence_binary = False
        try:
            entries = list(fs.ftp.mlsd(path))
        except ftplib.error_perm as exc:
            if not self.info(fs, path).is_folder:
                raise NotAFolderError("is a file") from exc
            raise
        self._require_folder(fs, path, len(entries))
        for name, facts in entries:
            if facts.get("type", "").lower() not in {"cdir", "pdir"}:
                yield self._from_facts(f"{path.rstrip('/')}/{name}", facts)

    def _list(self, fs: Any, path: str) -> Iterator[ObjectInfo]:
        fs.persistence_binary = False
        entries = fs.ls(path, detail=True)
        self._require_folder(fs, path, len(entries))
        for raw in entries:
            folder = raw["type"] == "directory"
            yield ObjectInfo(key=raw["name"], kind="folder" if folder else "file", size=None if folder else raw["size"])

    def _require_folder(self, fs: Any, path: str, entries: int) -> None:
        """Many servers list a file as if it were a folder with one entry, and a missing folder as one with none."""
        if entries <= 1 and not self._enters(fs, path):
            if self.info(fs, path).is_folder:
                return
            raise NotAFolderError("is a file")

    def _from_facts(self, path: str, facts: Mapping[str, str]) -> ObjectInfo:
        modified = _time(facts.get("modify", ""))
        if facts.get("type", "").lower() in {"dir", "cdir", "pdir"}:
            return ObjectInfo(key=path, kind="folder", modified=modified)
        size = facts.get("size")
        return ObjectInfo(key=path, size=int(size) if size else None, modified=modified)

    def read(self, fs: Any, path: str, start: int | None, end: int | None, pin: ObjectInfo | None) -> bytes:  # noqa: ARG002
        """RETR from REST on; what lies behind *end* is cut off with the data connection."""
        wanted = None if end is None else max(0, end - (start or 0))
        if wanted == 0:
            return b""
        data = bytearray()
        with self._definite(fs, path), _receiving(fs, path, start) as connection:
            while piece := connection.recv(_SOCKET_PIECE):
                data += piece
                if wanted is not None and len(data) >= wanted:
                    break
        return bytes(data[:wanted])

    def stream(self, fs: Any, path: str, piece: int) -> Generator[bytes, None, None]:
        """RETR, as it arrives."""
        with self._definite(fs, path), _receiving(fs, path, None) as connection:
            while data := connection.recv(min(piece, _SOCKET_PIECE)):
                yield data

    @contextlib.contextmanager
    def _definite(self, fs: Any, path: str) -> Iterator[None]:
        """A refusal whose words say nothing may mean that there is no such file; looking for it settles that."""
        try:
            yield
        except ftplib.error_perm as exc:
            if classify(exc) is StoreError and self.info(fs, path).is_folder:
                raise IsAFolderError("is a folder") from exc
            raise

    def sink(self, fs: Any, path: str, *, size: int | None, metadata: Mapping[str, str] | None) -> FtpSink:  # noqa: ARG002
        """One STOR."""
        return FtpSink(fs, f"STOR {path}")

    def replace(self, fs: Any, source: str, target: str) -> None:
        """RNFR and RNTO."""
        fs.ftp.rename(source, target)

    def append(self, fs: Any, path: str, data: bytes) -> None:
        """APPE, which makes a missing file."""
        sink = FtpSink(fs, f"APPE {path}")
        sink.write(data)
        sink.close()

    def delete(self, fs: Any, path: str) -> None:
        """DELE."""
        with self._definite(fs, path):
            fs.ftp.delete(path)

    def make_folder(self, fs: Any, path: str) -> None:
        """MKD, from the deepest folder that exists; others may be making the same ones."""
        if not path.strip("/") or self._enters(fs, path):
            return
        self.make_folder(fs, path.rpartition("/")[0])
        try:
            fs.ftp.mkd(path)
        except ftplib.error_perm:
            if not self._enters(fs, path):
                raise

    def _enters(self, fs: Any, path: str) -> bool:
        """CWD proves a folder on every server. All our paths are absolute, so it does not matter where we stand."""
        try:
            fs.ftp.cwd(path)
        except ftplib.error_perm:
            return False
        return True

    def delete_folder(self, fs: Any, path: str) -> None:
        """RMD, which refuses a folder that holds something."""
        fs.ftp.rmd(path)


class FtpSink:
    """The data connection of one upload."""

    def __init__(self, fs: Any, command: str) -> None:
        _binary(fs)
        self._ftp = fs.ftp
        self._connection = self._ftp.transfercmd(command)

    def write(self, data: bytes) -> None:
        """Send."""
        self._connection.sendall(data)

    def close(self) -> None:
        """End of data, then the server's word that it has it all."""
        _hang_up(self._connection)
        self._ftp.voidresp()

    def abort(self) -> None:
        """Hang up, and let the server say what it thinks of that."""
        with contextlib.suppress(OSError, EOFError, ftplib.Error):
            self._connection.close()
            self._ftp.voidresp()


@contextlib.contextmanager
def _receiving(fs: Any, path: str, start: int | None) -> Iterator[Any]:
    _binary(fs)
    connection = fs.ftp.transfercmd(f"RETR {path}", start or None)
    finished = False
    try:
        yield connection
        # Read on for the end: only an orderly one tells a whole file from a broken transfer.
        finished = not connection.recv(1)
    finally:
        if finished:
            _hang_up(connection)
            fs.ftp.voidresp()
        else:
            connection.close()
            _settle(fs.ftp)


def _binary(fs: Any) -> None:
    """Bytes as they are; only listing switches to text, so that asking for it each time would be a round trip for nothing."""
    if not fs.persistence_binary:
        fs.ftp.voidcmd("TYPE I")
        fs.persistence_binary = True


def _remember_data(ftp: Any) -> None:
    """Have a client keep its latest data connection where `FtpDialect.interrupt` finds it."""
    ftp.persistence_data = None
    whose = weakref.ref(ftp)  # a cycle would leave sockets to the garbage collector

    def ntransfercmd(command: str, rest: Any = None) -> Any:
        client: Any = whose()
        answer = type(client).ntransfercmd(client, command, rest)
        client.persistence_data = answer[0]
        return answer

    ftp.ntransfercmd = ntransfercmd


def _hang_up(connection: Any) -> None:
    if isinstance(connection, ssl.SSLSocket):
        with contextlib.suppress(OSError):  # many servers close without the TLS goodbye
            connection.unwrap()
    connection.close()


def _settle(ftp: Any) -> None:
    """After a transfer cut off by us the server sends one or two answers; read up to the one for our NOOP."""
    with contextlib.suppress(ftplib.Error):
        ftp.voidresp()
    ftp.putcmd("NOOP")
    for _ in range(3):
        if ftp.getmultiline().startswith("200"):
            return
    raise EOFError("the FTP connection lost its step after a partial read")


def _time(text: str) -> datetime | None:
    try:
        return datetime.strptime(text[:14], "%Y%m%d%H%M%S").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
