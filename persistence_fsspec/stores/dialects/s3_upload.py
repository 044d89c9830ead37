"""A multipart upload whose parts can be sent again, one by one; the driver's own file cannot take one back."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from typing import Any, Final

from persistence_fsspec.stores.dialects.base import Repeat, md5_of_etag, plain_etag

_MIB: Final = 1024 * 1024
_PARTS_OF_ONE_SIZE: Final = 1000


class MultipartSink:
    """Only the last request makes the object; until then nothing is seen of it.

    Args:
        fs: The driver.
        path: Of the object.
        part: Bytes in each part, at first: parts grow, so that a stream of unknown length never meets the limit of 10,000.
        metadata: Text to keep with the object.
        repeat: See `Dialect.repeat`. A beginning whose answer was lost leaves an unfinished upload of no parts behind.
    """

    def __init__(self, fs: Any, path: str, part: int, metadata: Mapping[str, str] | None, *, repeat: Repeat) -> None:
        self._fs, self._part, self._repeat = fs, part, repeat
        bucket, key, _ = fs.split_path(path)
        self._object = {"Bucket": bucket, "Key": key}
        self._buffer = bytearray()
        self._parts: list[dict[str, Any]] = []
        more = {"Metadata": dict(metadata)} if metadata else {}
        begun = repeat(lambda: fs.call_s3("create_multipart_upload", **self._object, **more))
        self._upload: dict[str, Any] | None = {**self._object, "UploadId": begun["UploadId"]}
        self._checksum = f"Checksum{begun.get('ChecksumAlgorithm', '')}"

    def write(self, data: bytes) -> None:
        """Collect, and send whole parts."""
        self._buffer += data
        while len(self._buffer) >= self._part:
            self._send(self._part)

    def close(self) -> None:
        """Send the rest, and make the object of all parts."""
        if self._buffer or not self._parts:
            self._send(len(self._buffer))
        self._repeat(self._complete)
        self._upload = None

    def abort(self) -> None:
        """Take the parts back; whoever asks for this has an error already."""
        upload, self._upload, self._buffer = self._upload, None, bytearray()
        if upload is not None:
            with contextlib.suppress(Exception):
                self._fs.call_s3("abort_multipart_upload", **upload)

    def _send(self, size: int) -> None:
        number = len(self._parts) + 1
        body = bytes(memoryview(self._buffer)[:size])
        where = {**(self._upload or {}), "PartNumber": number}
        answer = self._repeat(lambda: self._fs.call_s3("upload_part", **where, Body=body))
        kept = {name: answer[name] for name in ("ETag", self._checksum) if name in answer}
        self._parts.append({"PartNumber": number, **kept})
        del self._buffer[:size]
        self._part = max(self._part, 16 * _MIB * 2 ** (number // _PARTS_OF_ONE_SIZE) if number >= _PARTS_OF_ONE_SIZE else 0)

    def _complete(self) -> None:
        try:
            self._fs.call_s3("complete_multipart_upload", **(self._upload or {}), MultipartUpload={"Parts": self._parts})
        except Exception as exc:
            # The answer to an earlier try may have been lost: then the upload is gone, and the object is there.
            if not _is_gone(exc) or not self._is_there():
                raise

    def _is_there(self) -> bool:
        """Whether the object is made of our parts, by its ETag: the MD5 of their MD5s."""
        found = [md5_of_etag(plain_etag(part["ETag"])) for part in self._parts]
        digests = b"".join(bytes.fromhex(digest[1]) for digest in found if digest is not None)
        if len(digests) < 16 * len(self._parts):
            return False
        ours = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(self._parts)}"
        return plain_etag(self._fs.call_s3("head_object", **self._object).get("ETag")) == ours


def _is_gone(exc: BaseException | None) -> bool:
    answer = getattr(exc, "response", None) or getattr(getattr(exc, "__cause__", None), "response", None)
    return isinstance(answer, Mapping) and answer.get("Error", {}).get("Code") == "NoSuchUpload"
