"""SFTP, through either of its two drivers: fsspec's own over paramiko, and sshfs over asyncssh."""

from __future__ import annotations

import contextlib
import io
import socket
import stat
from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from fsspec.asyn import sync

from persistence_fsspec.errors import NotAFolderError, ObjectExistsError, ObjectNotFoundError, StoreError
from persistence_fsspec.foreign import classify
from persistence_fsspec.store import ObjectInfo
from persistence_fsspec.stores.attributes import Attributes, as_metadata
from persistence_fsspec.stores.dialects.base import Dialect, FileSink

_REQUESTS_AHEAD: Final = 64
_BLOCK: Final = 16 * 1024
"""Fits into one request, on every server."""
_LARGE_BLOCK: Final = 240 * 1024
"""With its header, below the 256 KiB at which OpenSSH's server hangs up."""


class _SshDialect(Dialect):
    absolute = True
    writes_anywhere = True

    def info(self, fs: Any, path: str) -> ObjectInfo:
        """Of what a link leads to; only folders are asked whether they are links, as deleting must know."""
        raw = self.entry(fs, path)
        found = self.describe(raw)
        if not found.is_folder:
            seconds = int(found.modified.timestamp()) if found.modified else 0
            return replace(found, metadata=as_metadata(raw["permissions"], seconds * 1_000_000_000))
        return replace(found, link=True) if path.strip("/") and self.is_link(fs, path) else found

    def entry(self, fs: Any, path: str) -> Mapping[str, Any]:
        """The driver's listing entry of one name, with ``permissions``."""
        raise NotImplementedError

    def is_link(self, fs: Any, path: str) -> bool:
        """Whether the name itself is a symbolic link."""
        raise NotImplementedError

    def children(self, fs: Any, path: str) -> Iterator[ObjectInfo]:
        """One folder; links are followed, a dangling one counts as a file of unknown size."""
        if not self.info(fs, path or "/").is_folder:
            raise NotAFolderError("is a file")
        for raw in fs.ls(path or "/", detail=True):
            if raw["type"] != "link":
                yield self.describe(raw)
                continue
            try:
                yield replace(self.info(fs, raw["name"]), key=raw["name"], link=True)
            except Exception as exc:
                if classify(exc) not in {ObjectNotFoundError, StoreError}:
                    raise
                yield ObjectInfo(key=raw["name"], link=True)  # dangling, or in a circle


class ParamikoDialect(_SshDialect):
    """Quirks paramiko-*, ssh-*."""

    def patience(self, options: dict[str, Any], *, stall_seconds: float) -> dict[str, Any]:
        """Of each step of connecting."""
        steps = ("timeout", "banner_timeout", "auth_timeout", "channel_timeout")
        return {**dict.fromkeys(steps, stall_seconds), **options}

    def restrain(self, fs: Any, *, stall_seconds: float, given: bool) -> None:  # noqa: ARG002 - a limit of its own stays
        """Of each answer on the channel."""
        channel = fs.ftp.get_channel()
        if channel.gettimeout() is None:
            channel.settimeout(stall_seconds)

    def interrupt(self, fs: Any) -> None:
        """Hang up."""
        with contextlib.suppress(Exception):
            transport = fs.client.get_transport()
            with contextlib.suppress(OSError, AttributeError):  # a proxy command has no such socket
                transport.sock.shutdown(socket.SHUT_RDWR)
            transport.close()

    def options(self, options: dict[str, Any], authority: str) -> dict[str, Any]:  # noqa: ARG002
        """Understand sshfs' spelling."""
        if "client_keys" in options:
            options["key_filename"] = options.pop("client_keys")
        if options.get("known_hosts", ...) is None:  # asyncssh: accept any host, which is this driver's default
            del options["known_hosts"]
        return {**options, "skip_instance_cache": True}

    def connected(self, fs: Any) -> None:
        """Small packets leave at once."""
        with contextlib.suppress(OSError, AttributeError):  # a proxy command has no such socket
            fs.client.get_transport().sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def alive(self, fs: Any, idle_seconds: float) -> bool:  # noqa: ARG002
        """Ask the transport."""
        transport = fs.client.get_transport()
        return transport is not None and transport.is_active()

    def close(self, fs: Any) -> None:
        """End the transport."""
        fs.client.close()

    def read(self, fs: Any, path: str, start: int | None, end: int | None, pin: ObjectInfo | None) -> bytes:  # noqa: ARG002
        """Open, seek, read."""
        with fs.ftp.open(path, "rb") as file:
            if start is None and end is None:
                file.prefetch(None, _REQUESTS_AHEAD)
            file.seek(start or 0)
            data: bytes = file.read(None if end is None else max(0, end - (start or 0)))
            return data

    def stream(self, fs: Any, path: str, piece: int) -> Generator[bytes, None, None]:
        """With some requests ahead of the reader."""
        with fs.ftp.open(path, "rb") as file:
            file.prefetch(None, _REQUESTS_AHEAD)
            while data := file.read(piece):
                yield data

    def sink(self, fs: Any, path: str, *, size: int | None, metadata: Mapping[str, str] | None) -> FileSink:  # noqa: ARG002
        """Without waiting for each answer; closing waits for them all."""
        return _PipelinedSink(fs.ftp.open(path, "wb"))

    def replace(self, fs: Any, source: str, target: str) -> None:
        """OpenSSH's posix-rename extension."""
        fs.ftp.posix_rename(source, target)

    def rename_new(self, fs: Any, source: str, target: str) -> None:
        """SFTP's own rename, which must not replace (draft-ietf-secsh-filexfer-02, 6.5)."""
        try:
            fs.ftp.rename(source, target)
        except OSError as exc:
            if _exists(self, fs, target):
                raise ObjectExistsError("exists already, and overwrite=False") from exc
            raise

    def append(self, fs: Any, path: str, data: bytes) -> None:
        """SFTP's own append."""
        with fs.ftp.open(path, "ab") as file:
            file.write(data)

    def extend(self, fs: Any, path: str, position: int, data: bytes) -> None:
        """To its place, and the end only once all in front of it is there."""
        with fs.ftp.open(path, "r+b" if position else "wb") as file:
            file.seek(position)
            sink = _PipelinedSink(file)
            view = memoryview(data)
            sink.write(view[:-_BLOCK])
            sink.settle()
            sink.write(view[-_BLOCK:])
            sink.settle()

    def delete(self, fs: Any, path: str) -> None:
        """Remove one file, or a link."""
        fs.ftp.remove(path)

    def entry(self, fs: Any, path: str) -> Mapping[str, Any]:
        """The driver drops the permissions."""
        found = fs.ftp.stat(path)
        return {**fs._decode_stat(found), "name": path, "permissions": found.st_mode}

    def set_attributes(self, fs: Any, path: str, attributes: Attributes) -> None:
        """In whole seconds."""
        if attributes.mode is not None:
            fs.ftp.chmod(path, attributes.mode)
        if attributes.mtime is not None:
            seconds = attributes.mtime // 1_000_000_000
            fs.ftp.utime(path, (seconds, seconds))

    def is_link(self, fs: Any, path: str) -> bool:
        """By lstat."""
        return stat.S_ISLNK(fs.ftp.lstat(path).st_mode or 0)

    def real_path(self, fs: Any, path: str) -> str:
        """By the server."""
        return str(fs.ftp.normalize(path))


class _PipelinedSink(FileSink):
    """Writes without waiting for each answer, but hears them all before the file is closed.

    Paramiko drops what is still unheard then, and a block in the middle that was refused would leave a hole that the size
    does not show.
    """

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self._pipelined = file
        file.set_pipelined(True)

    def settle(self) -> None:
        """Wait for the answers to all writes so far; the first refusal is raised."""
        while self._pipelined._reqs:
            self._pipelined.sftp._read_response(self._pipelined._reqs.popleft())

    def close(self) -> None:
        """A single write that was refused leaves nothing, which the size shows; so that one costs no waiting."""
        if len(self._pipelined._reqs) > 1:
            self.settle()
        super().close()


class SshfsDialect(_SshDialect):
    """Quirks sshfs-*, ssh-*."""

    def patience(self, options: dict[str, Any], *, stall_seconds: float) -> dict[str, Any]:
        """Of connecting; later a server that leaves one question for a sign of life unanswered is given up."""
        return {
            "connect_timeout": stall_seconds,
            "keepalive_interval": stall_seconds / 2,
            "keepalive_count_max": 1,
            **options,
        }

    def options(self, options: dict[str, Any], authority: str) -> dict[str, Any]:  # noqa: ARG002
        """Understand paramiko's spelling."""
        if "key_filename" in options:
            keys = options.pop("key_filename")
            options["client_keys"] = [keys] if isinstance(keys, str) else keys
        for name in ("look_for_keys", "allow_agent", "host_key_policy"):
            options.pop(name, None)
        return options

    def read(self, fs: Any, path: str, start: int | None, end: int | None, pin: ObjectInfo | None) -> bytes:  # noqa: ARG002
        """Open, seek, read."""
        with fs.open(path, "rb") as file:
            if start and end is None:
                end = file.seek(0, io.SEEK_END)  # asyncssh counts down from here, and below zero when it stands behind it
            file.seek(start or 0)
            data: bytes = file.read() if end is None else file.read(max(0, end - (start or 0)))
            return data

    def extend(self, fs: Any, path: str, position: int, data: bytes) -> None:
        """To its place, and the end only once all in front of it is there: blocks go in parallel."""
        sync(fs.loop, _write_at, fs, path, position, data)

    def append(self, fs: Any, path: str, data: bytes) -> None:
        """SFTP's own append, block after block."""
        view = memoryview(data)
        with fs.open(path, "ab") as file:
            for begin in range(0, len(view), _BLOCK):
                file.write(bytes(view[begin : begin + _BLOCK]))

    def replace(self, fs: Any, source: str, target: str) -> None:
        """OpenSSH's posix-rename extension, never the driver's shell fallback."""
        sync(fs.loop, _on_channel, fs, "posix_rename", source, target)

    def rename_new(self, fs: Any, source: str, target: str) -> None:
        """SFTP's own rename, which must not replace."""
        try:
            sync(fs.loop, _on_channel, fs, "rename", source, target)
        except Exception as exc:
            if _exists(self, fs, target):
                raise ObjectExistsError("exists already, and overwrite=False") from exc
            raise

    def entry(self, fs: Any, path: str) -> Mapping[str, Any]:
        """As the driver says it."""
        found: Mapping[str, Any] = fs.info(path)
        return found

    def set_attributes(self, fs: Any, path: str, attributes: Attributes) -> None:
        """In whole seconds."""
        if attributes.mode is not None:
            sync(fs.loop, _on_channel, fs, "chmod", path, attributes.mode)
        if attributes.mtime is not None:
            seconds = attributes.mtime // 1_000_000_000
            sync(fs.loop, _on_channel, fs, "utime", path, (seconds, seconds))

    def is_link(self, fs: Any, path: str) -> bool:
        """By lstat."""
        return stat.S_ISLNK(sync(fs.loop, _on_channel, fs, "lstat", path).permissions or 0)

    def real_path(self, fs: Any, path: str) -> str:
        """By the server."""
        return str(sync(fs.loop, _on_channel, fs, "realpath", path))

    def delete_folder(self, fs: Any, path: str) -> None:
        """By the client: the driver's own ``rmdir`` does nothing."""
        sync(fs.loop, _on_channel, fs, "rmdir", path)


async def _on_channel(fs: Any, call: str, *args: Any) -> Any:
    async with fs._pool.get() as channel:
        return await getattr(channel, call)(*args)


async def _write_at(fs: Any, path: str, position: int, data: bytes) -> None:
    view = memoryview(data)
    async with fs._pool.get() as channel:
        limits = getattr(channel, "limits", None)  # without a packet length, they are guesses of the client, and low ones
        block = limits.max_write_len if limits is not None and limits.max_packet_len else _LARGE_BLOCK
        async with channel.open(path, "r+b" if position else "wb", block_size=block) as file:
            for piece, begin in ((view[:-_BLOCK], position), (view[-_BLOCK:], position + max(0, len(view) - _BLOCK))):
                if piece:
                    await file.write(piece, begin)


def _exists(dialect: Dialect, fs: Any, path: str) -> bool:
    try:
        dialect.info(fs, path)
    except FileNotFoundError:
        return False
    return True
