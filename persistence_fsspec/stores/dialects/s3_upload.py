"""A multipart upload: of parts of one size, which many may send, and of a stream of unknown length."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from persistence_fsspec.crc32c import combined, crc32c
from persistence_fsspec.errors import ChecksumMismatchError, ObjectNotFoundError
from persistence_fsspec.store import MD5_OF_PARTS, Digest, ObjectInfo, Part
from persistence_fsspec.stores.dialects.base import Repeat, content_type, md5_of_etag, plain_etag
from persistence_fsspec.stores.dialects.parts import (
    KEPT_PART_SIZE,
    as_base64,
    from_base64,
    parsed_token,
    require_same,
    token_of,
    whole_ones,
)
from persistence_fsspec.stores.dialects.s3_send import PartSender
from persistence_fsspec.stores.uploading import Layout

_MIB: Final = 1024 * 1024
_PARTS_OF_ONE_SIZE: Final = 1000
_CRC32C: Final = "CRC32C"
_OF_PARTS: Final = re.compile(r"[0-9a-f]{32}-[0-9]+")


class Checking:
    """What the server of one store does with checksums, as far as it was seen."""

    def __init__(self) -> None:
        self.compares: bool | None = None
        """It compares the CRC32C of a part with the bytes that arrive."""
        self.etag_is_md5: bool | None = None
        """The ETag of a part is its MD5."""
        self.sender = PartSender()
        self._client: Any = None

    def asks(self, fs: Any) -> bool:
        """Whether to send a CRC32C; not where the client is told to send a checksum only when it must."""
        if self.compares is False:
            return False
        if getattr(fs, "_s3", self) is None:
            fs.connect()
        client = getattr(fs, "_s3", None)
        if client is None:
            return True
        if client is not self._client:
            for operation in ("PutObject", "UploadPart"):
                client.meta.events.register(f"before-sign.s3.{operation}", _mention_checksum, unique_id=f"persist-{operation}")
            self._client = client
        return _calculation(client) != "when_required"

    def usual(self, fs: Any, data: bytes) -> dict[str, str]:
        """The checksum that the client would add by itself to a part without one."""
        if _calculation(getattr(fs, "_s3", None)) != "when_supported":
            return {}
        return {"ChecksumCRC32": base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()}


def _calculation(client: Any) -> str | None:
    """When the client adds a checksum of its own; None for one that never does."""
    return getattr(getattr(getattr(client, "meta", None), "config", None), "request_checksum_calculation", None)


def _mention_checksum(request: Any, **_: Any) -> None:
    """Over TLS a body with a checksum needs no SHA-256 in the signature; the client only thinks of checksums it made itself."""
    if "x-amz-checksum-crc32c" in request.headers:
        told = {"algorithm": "crc32c", "in": "header", "name": "x-amz-checksum-crc32c"}
        request.context.setdefault("checksum", {}).setdefault("request_algorithm", told)


class Multipart:
    """One upload: only the last request makes the object; until then nothing is seen of it.

    Args:
        path: Of the object.
        upload: Its id, and the object's bucket and key.
        algorithm: Of the checksum that each part carries; empty for none.
        whole: The object is to have that checksum as a whole, and not of those of its parts.
        checking: What is known of the server.
    """

    def __init__(self, path: str, upload: dict[str, str], *, algorithm: str, whole: bool, checking: Checking) -> None:
        self._path, self.upload, self.algorithm, self.whole, self._checking = path, upload, algorithm, whole, checking

    def send(self, fs: Any, number: int, data: bytes, crc: str) -> Part:
        """One part, from 0; the server compares it, or its ETag is."""
        if self.algorithm == _CRC32C:
            answer = self._put(fs, number, data, ChecksumCRC32C=as_base64(crc))
            require_same(from_base64(answer.get("ChecksumCRC32C")), crc)
            return self._part(number, len(data), answer, crc)
        return self._part(number, len(data), self._send_by_md5(fs, number, data), crc)

    def _send_by_md5(self, fs: Any, number: int, data: bytes) -> Mapping[str, Any]:
        md5 = hashlib.md5(data, usedforsecurity=False)
        checksums = {"ContentMD5": base64.b64encode(md5.digest()).decode(), **self._checking.usual(fs, data)}
        answers = []
        for _ in range(2):
            answers.append(self._put(fs, number, data, **checksums))
            told = md5_told(answers[-1])
            if told is None or self._checking.etag_is_md5 is False:
                return answers[-1]
            if told == ("md5", md5.hexdigest()):
                self._checking.etag_is_md5 = True
                return answers[-1]
            if self._checking.etag_is_md5:
                raise ChecksumMismatchError(f"MD5 of part {number + 1} is {told[1]} at the store and {md5.hexdigest()} here")
        # Neither the first time nor the second, and never before: this server's ETags are something else.
        self._checking.etag_is_md5 = False
        return answers[-1]

    def _put(self, fs: Any, number: int, data: bytes, **checksums: str) -> Mapping[str, Any]:
        """By the quick way, or by the driver."""
        answer = self._checking.sender.send(fs, data, **self.upload, PartNumber=number + 1, **checksums)
        return self._upload_part(fs, number, data, **checksums) if answer is None else answer

    def _upload_part(self, fs: Any, number: int, data: bytes, **checksums: str) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = fs.call_s3("upload_part", **self.upload, PartNumber=number + 1, Body=data, **checksums)
        return answer

    def compares(self, fs: Any) -> bool:
        """Whether the server looks at checksums: it then repeats that of a part. Some (moto) only say so when it begins."""
        if self._checking.compares is None:
            try:
                answer = self._upload_part(fs, 0, b"", ChecksumCRC32C=as_base64(crc32c(b"")))
            except BaseException as exc:
                if not isinstance(exc, OSError) or status_of(exc) not in {400, 501}:
                    self.abort(fs)
                    raise
                return False
            self._checking.compares = from_base64(answer.get("ChecksumCRC32C")) == crc32c(b"")
        return self._checking.compares

    def parts(self, fs: Any) -> list[Part]:
        """All pages of those that have arrived."""
        found: list[Part] = []
        more: dict[str, Any] = {}
        while True:
            try:
                page = fs.call_s3("list_parts", **self.upload, **more)
            except Exception as exc:
                if _is_gone(exc):
                    raise ObjectNotFoundError("there is no such upload any more") from exc
                raise
            found += [
                self._part(raw["PartNumber"] - 1, raw["Size"], raw, from_base64(raw.get("ChecksumCRC32C")))
                for raw in page.get("Parts", ())
            ]
            if not page.get("IsTruncated"):
                return found
            more = {"PartNumberMarker": page["NextPartNumberMarker"]}

    def _part(self, number: int, size: int, raw: Mapping[str, Any], crc: str) -> Part:
        told = raw.get(f"Checksum{self.algorithm}") if self.algorithm not in {"", _CRC32C} else None
        return Part(number=number, size=size, crc32c=crc, receipt=f"{raw['ETag']} {told}" if told else raw["ETag"])

    def complete(self, fs: Any, parts: Sequence[Part], crc: str) -> ObjectInfo | None:
        """Make the object of all parts."""
        listed = [self._named(part) for part in parts]
        more = {"ChecksumCRC32C": as_base64(crc), "ChecksumType": "FULL_OBJECT"} if self.whole else {}
        try:
            answer = fs.call_s3("complete_multipart_upload", **self.upload, MultipartUpload={"Parts": listed}, **more)
        except Exception as exc:
            # The answer to an earlier try may have been lost: then the upload is gone, and the object is there.
            answer = self._made_before(fs, parts, crc) if _is_gone(exc) else None
            if answer is None:
                raise
        etag = plain_etag(answer.get("ETag"))
        if self.whole:
            require_same(from_base64(answer.get("ChecksumCRC32C")), crc)
        if etag is None:
            return None
        digest = ("crc32c", crc) if self._is_proven(answer, parts) else None
        return ObjectInfo(key=self._path, size=sum(part.size for part in parts), version=etag, digest=digest)

    def _is_proven(self, answer: Mapping[str, Any], parts: Sequence[Part]) -> bool:
        """Whether the answer names the digest of the whole, or one of the digests of the parts, each of which was compared."""
        told = str(answer.get("ChecksumCRC32C") or "")
        if self.whole:
            return bool(told)
        if not all(part.crc32c for part in parts):
            return False
        if self.algorithm == _CRC32C:
            return told == f"{as_base64(crc32c(bytes.fromhex(''.join(part.crc32c for part in parts))))}-{len(parts)}"
        return bool(self._checking.etag_is_md5) and plain_etag(answer.get("ETag")) == _etag_of(parts)

    def _named(self, part: Part) -> dict[str, Any]:
        etag, _, told = part.receipt.partition(" ")
        if self.algorithm == _CRC32C and part.crc32c:
            told = as_base64(part.crc32c)
        return {"PartNumber": part.number + 1, "ETag": etag, **({f"Checksum{self.algorithm}": told} if told else {})}

    def _made_before(self, fs: Any, parts: Sequence[Part], crc: str) -> Mapping[str, Any] | None:
        """The object, if it is made of our parts: by its checksum, or by its ETag, the MD5 of their MD5s."""
        where = {"Bucket": self.upload["Bucket"], "Key": self.upload["Key"]}
        try:
            head: Mapping[str, Any] = fs.call_s3("head_object", **where, **({"ChecksumMode": "ENABLED"} if self.whole else {}))
        except FileNotFoundError:
            return None
        if self.whole and digest_told(head) == ("crc32c", crc):
            return head
        ours = _etag_of(parts)
        return head if ours is not None and plain_etag(head.get("ETag")) == ours else None

    def abort(self, fs: Any) -> None:
        """Take the parts back; whoever asks for this has an error already."""
        with contextlib.suppress(Exception):
            fs.call_s3("abort_multipart_upload", **self.upload)


def begin(
    fs: Any, path: str, metadata: Mapping[str, str] | None, checking: Checking, *, part_size: int | None = None
) -> Multipart:
    """Begin an upload, with checksums where the server compares them.

    Args:
        fs: The driver.
        path: Of the object.
        metadata: Text to keep with it.
        checking: What is known of the server; it is asked once.
        part_size: Of all parts but the last; kept with the object, for servers that keep no checksum.
    """
    # Whether the server keeps a checksum shows when it is too late to add anything.
    metadata = {**(metadata or {}), **({KEPT_PART_SIZE: str(part_size)} if part_size is not None else {})}
    if not checking.asks(fs):
        return _begun(fs, path, metadata, checking)
    try:
        begun = _begun(fs, path, metadata, checking, ChecksumAlgorithm=_CRC32C, ChecksumType="FULL_OBJECT")
    except OSError as exc:
        if status_of(exc) not in {400, 501}:
            raise
    else:
        if begun.algorithm != _CRC32C or begun.compares(fs):  # older servers pass over what they were asked for
            return begun
        begun.abort(fs)
    plain = _begun(fs, path, metadata, checking)
    checking.compares = False
    return plain


def _begun(fs: Any, path: str, metadata: Mapping[str, str] | None, checking: Checking, **checksum: str) -> Multipart:
    bucket, key, _ = fs.split_path(path)
    answer = fs.call_s3("create_multipart_upload", Bucket=bucket, Key=key, **described(fs, key, metadata), **checksum)
    algorithm = answer.get("ChecksumAlgorithm") or ""
    whole = algorithm == _CRC32C and answer.get("ChecksumType") == "FULL_OBJECT"
    upload = {"Bucket": bucket, "Key": key, "UploadId": answer["UploadId"]}
    return Multipart(path, upload, algorithm=algorithm, whole=whole, checking=checking)


class S3Upload:
    """Parts of one size, on their way to one object; see `Arriving`.

    Args:
        multipart: The upload.
        size: Of the object, in bytes.
        part_size: Of each part but the last.
    """

    def __init__(self, multipart: Multipart, *, size: int, part_size: int) -> None:
        self._multipart, self._size, self.part_size = multipart, size, part_size
        told = (multipart.algorithm or "-", "whole" if multipart.whole else "parts")
        self.token = token_of(multipart.upload["UploadId"], part_size, *told)

    @classmethod
    def taken_up(cls, fs: Any, path: str, token: str, *, size: int, checking: Checking) -> S3Upload:
        """One that was begun."""
        name, part_size, more = parsed_token(token)
        bucket, key, _ = fs.split_path(path)
        upload = {"Bucket": bucket, "Key": key, "UploadId": name}
        algorithm = more[0] if more and more[0] != "-" else ""
        found = cls(
            Multipart(path, upload, algorithm=algorithm, whole="whole" in more[1:], checking=checking),
            size=size,
            part_size=part_size,
        )
        found.parts(fs)
        return found

    def parts(self, fs: Any) -> list[Part]:
        """Those of the right size; the server may have been asked with an empty one."""
        return whole_ones(self._multipart.parts(fs), Layout(self._size, self.part_size))

    def send(self, fs: Any, number: int, data: bytes, crc32c: str) -> Part:
        return self._multipart.send(fs, number, data, crc32c)

    def read_back(self, fs: Any, part: Part) -> None:  # noqa: ARG002 - nothing is shown before the end
        return

    def commit(self, fs: Any, parts: Sequence[Part], crc32c: str) -> ObjectInfo | None:
        return self._multipart.complete(fs, parts, crc32c)

    def abort(self, fs: Any) -> None:
        self._multipart.abort(fs)


class MultipartSink:
    """A stream of unknown length; the driver's own file cannot take an upload back.

    Args:
        fs: The driver.
        path: Of the object.
        part: Bytes in each part, at first: parts grow, so that such a stream never meets the limit of 10,000.
        metadata: Text to keep with the object.
        repeat: See `Dialect.repeat`. A beginning whose answer was lost leaves an unfinished upload of no parts behind.
        checking: What is known of the server.
    """

    def __init__(
        self, fs: Any, path: str, part: int, metadata: Mapping[str, str] | None, *, repeat: Repeat, checking: Checking
    ) -> None:
        self._fs, self._part, self._repeat = fs, part, repeat
        self._buffer = bytearray()
        self._parts: list[Part] = []
        self._multipart: Multipart | None = repeat(lambda: begin(fs, path, metadata, checking))

    def write(self, data: bytes) -> None:
        """Collect, and send whole parts."""
        self._buffer += data
        while len(self._buffer) >= self._part:
            self._send(self._part)

    def close(self) -> None:
        """Send the rest, and make the object of all parts."""
        if self._buffer or not self._parts:
            self._send(len(self._buffer))
        multipart = self._multipart
        if multipart is not None:
            whole = combined((part.size, part.crc32c) for part in self._parts)
            self._repeat(lambda: multipart.complete(self._fs, self._parts, whole))
        self._multipart = None

    def abort(self) -> None:
        """Take the parts back."""
        multipart, self._multipart, self._buffer = self._multipart, None, bytearray()
        if multipart is not None:
            multipart.abort(self._fs)

    def _send(self, size: int) -> None:
        multipart, number = self._multipart, len(self._parts)
        body = bytes(memoryview(self._buffer)[:size])
        crc = crc32c(body)
        if multipart is not None:
            self._parts.append(self._repeat(lambda: multipart.send(self._fs, number, body, crc)))
        del self._buffer[:size]
        sent = number + 1
        self._part = max(self._part, 16 * _MIB * 2 ** (sent // _PARTS_OF_ONE_SIZE) if sent >= _PARTS_OF_ONE_SIZE else 0)


# --- what is said of the object ---


def described(fs: Any, key: str, metadata: Mapping[str, str] | None) -> dict[str, Any]:
    """Its metadata and its type; that which the driver was told to give all objects stays."""
    kind = None if "ContentType" in getattr(fs, "s3_additional_kwargs", {}) else content_type(key)
    return {**({"Metadata": dict(metadata)} if metadata else {}), **({"ContentType": kind} if kind else {})}


# --- what answers say ---


def _etag_of(parts: Sequence[Part]) -> str | None:
    """Of an object made of these parts: the MD5 of their MD5s; None where their ETags cannot be that."""
    found = [md5_of_etag(plain_etag(part.receipt.partition(" ")[0])) for part in parts]
    digests = b"".join(bytes.fromhex(digest[1]) for digest in found if digest is not None)
    if len(digests) < 16 * len(parts):
        return None
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"


def md5_told(answer: Mapping[str, Any]) -> Digest | None:
    """The MD5 that an ETag is, unless the answer says otherwise: with KMS or customer keys it looks like one, and is none."""
    if answer.get("ServerSideEncryption") not in (None, "AES256") or answer.get("SSECustomerAlgorithm"):
        return None
    return md5_of_etag(plain_etag(answer.get("ETag")))


def digest_told(answer: Mapping[str, Any]) -> Digest | None:
    """The digest of an object: its MD5, else its CRC32C where that is of the whole and not of the checksums of its parts.

    Else, of an object of ours, the MD5 of the MD5s of its parts.
    """
    md5 = md5_told(answer)
    crc = from_base64(answer.get("ChecksumCRC32C"))
    kind = answer.get("ChecksumType") or ("COMPOSITE" if "-" in str(answer.get("ETag")) else "FULL_OBJECT")
    if md5 is not None or (crc and kind == "FULL_OBJECT"):
        return md5 or ("crc32c", crc or "")
    part_size, etag = (answer.get("Metadata") or {}).get(KEPT_PART_SIZE, ""), plain_etag(answer.get("ETag")) or ""
    return (f"{MD5_OF_PARTS}{part_size}", etag) if part_size.isdecimal() and _OF_PARTS.fullmatch(etag) else None


def status_of(exc: BaseException) -> int | None:
    """The HTTP status behind an error of the driver."""
    answer = getattr(exc.__cause__ or exc, "response", None) or {}
    status: int | None = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status


def _is_gone(exc: BaseException | None) -> bool:
    answer = getattr(exc, "response", None) or getattr(getattr(exc, "__cause__", None), "response", None)
    return isinstance(answer, Mapping) and answer.get("Error", {}).get("Code") == "NoSuchUpload"
