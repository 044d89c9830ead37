"""S3 with checksums: before a server that only stores (moto), one that compares them, as Amazon's documentation says.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""

from __future__ import annotations

import base64
import re
import socket
import ssl
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qs, urlsplit

from google_crc32c import value

from .faults_http import Answer, HttpFaults, Request

_MINE = ("x-amz-checksum-", "x-amz-sdk-checksum-")


class TlsS3(HttpFaults):
    """TLS in front of the same, by a certificate of its own.

    Args:
        port: Of moto.
        certificate: Path of a PEM file, with its private key.
    """

    def __init__(self, port: int, certificate: str) -> None:
        super().__init__(port)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self.bodies: list[str] = []
        """What the signatures of parts say of their bodies."""

    def _serve(self, client: socket.socket) -> None:
        with self._context.wrap_socket(client, server_side=True) as secure:
            with self._lock:
                self._sockets.add(secure)
            try:
                super()._serve(secure)
            finally:
                with self._lock:
                    self._sockets.discard(secure)

    def _ask(self, request: Request) -> Answer:
        if request.method == "PUT" and "partNumber=" in request.target:
            self.bodies.append(request.headers.get("x-amz-content-sha256", ""))
        return super()._ask(request)


@dataclass
class _Upload:
    whole: bool
    parts: dict[int, tuple[int, str, bytes]] = field(default_factory=dict)


class ChecksumS3(HttpFaults):
    """Answers as moto does, and adds what a server with checksums would say; it compares CRC32C, and nothing else.

    Args:
        port: Of moto.
        manner: ``new``: checksums of whole objects. ``composite``: the whole has only one of its parts' checksums, as with other tools, and
            servers before 2025. ``refusing``: such an upload is 501. ``deaf``: it is begun without a word about checksums.
        signed: Pass all headers on, for a server that checks signatures.
    """

    def __init__(self, port: int, manner: str = "new", *, signed: bool = False) -> None:
        super().__init__(port)
        self.manner, self._signed = manner, signed
        self.flip_part = 0
        """A part whose next arrival has one wrong bit."""
        self.refused = 0
        """Requests whose bytes were not those of their checksum."""
        self.asked: list[str] = []
        """Methods and queries of all requests."""
        self.bodies: list[str] = []
        """What the signatures of parts say of their bodies."""
        self._uploads: dict[str, _Upload] = {}
        self._completed: set[str] = set()
        self._objects: dict[str, tuple[str, str, str, list[tuple[int, str]]]] = {}

    def _ask(self, request: Request) -> Answer:
        parts = urlsplit(request.target)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        self.asked.append(f"{request.method} {','.join(query)}".strip())
        if request.method == "POST" and "uploads" in query:
            return self._begin(request)
        upload = self._uploads.get(query.get("uploadId", ""))
        if upload is not None:
            if request.method == "PUT":
                return self._part(request, upload, int(query["partNumber"]))
            if request.method == "POST":
                return self._complete(request, upload, parts.path, query["uploadId"])
            if request.method == "GET":
                return self._list_parts(request, upload)
        if query.get("uploadId") in self._completed:
            return _error(404, "NoSuchUpload")
        if request.method == "PUT" and not query:
            return self._object(request, parts.path)
        if request.method == "GET" and "attributes" in query:
            return self._attributes(request, parts.path)
        if request.method == "HEAD" and request.headers.get("x-amz-checksum-mode"):
            return self._head(self._pass(request), parts.path)
        return self._pass(request)

    def _pass(self, request: Request, **changes: object) -> Answer:
        for name in list(request.headers):
            if name.lower().startswith(_MINE) and not self._signed:
                del request.headers[name]
        return super()._ask(replace(request, **changes))  # type: ignore[arg-type]

    def _begin(self, request: Request) -> Answer:
        wanted = request.headers.get("x-amz-checksum-algorithm")
        whole = request.headers.get("x-amz-checksum-type") == "FULL_OBJECT" and self.manner == "new"
        if wanted == "CRC32C" and self.manner == "refusing":
            return _error(501, "NotImplemented")
        answer = self._pass(request)
        if wanted != "CRC32C" or self.manner == "deaf":
            return answer
        found = re.search(rb"<UploadId>(.*?)</UploadId>", answer.body)
        assert found is not None
        self._uploads[found.group(1).decode()] = _Upload(whole)
        return _with_headers(answer, {"algorithm": "CRC32C", "type": "FULL_OBJECT" if whole else "COMPOSITE"})

    def _part(self, request: Request, upload: _Upload, number: int) -> Answer:
        body = request.body
        if number == self.flip_part and body:
            self.flip_part, body = 0, bytes([body[0] ^ 1]) + body[1:]
        self.bodies.append(request.headers.get("x-amz-content-sha256", ""))
        told = request.headers.get("x-amz-checksum-crc32c")
        if told != _crc(body):
            self.refused += 1
            return _error(400, "BadDigest")
        answer = self._pass(request, body=body)
        upload.parts[number] = (len(body), told, body)
        return _with_headers(answer, {"crc32c": told})

    def _list_parts(self, request: Request, upload: _Upload) -> Answer:
        answer = self._pass(request)

        def told(found: re.Match[bytes]) -> bytes:
            return found.group(0) + _element("ChecksumCRC32C", upload.parts[int(found.group(1))][1])

        return _with_body(answer, re.sub(rb"<PartNumber>(\d+)</PartNumber>", told, answer.body))

    def _complete(self, request: Request, upload: _Upload, path: str, name: str) -> Answer:
        listed = re.findall(rb"<Part>.*?</Part>", request.body, re.DOTALL)
        numbers = [int(_text(part, "PartNumber")) for part in listed]
        if any(_text(part, "ChecksumCRC32C") != upload.parts[number][1] for part, number in zip(listed, numbers, strict=True)):
            self.refused += 1
            return _error(400, "InvalidPart")
        whole = _crc(b"".join(upload.parts[number][2] for number in numbers))
        told = request.headers.get("x-amz-checksum-crc32c")
        if upload.whole and told not in (None, whole):
            self.refused += 1
            return _error(400, "BadDigest")
        answer = self._pass(request, body=re.sub(rb"<ChecksumCRC32C>.*?</ChecksumCRC32C>", b"", request.body))
        if answer.status != 200:
            return answer
        of_parts = _crc(b"".join(base64.b64decode(upload.parts[number][1]) for number in numbers)) + f"-{len(numbers)}"
        told, kind = (whole, "FULL_OBJECT") if upload.whole else (of_parts, "COMPOSITE")
        etag = _text(answer.body, "ETag").replace("&quot;", '"').strip('"')
        self._objects[path] = (etag, told, kind, [upload.parts[number][:2] for number in numbers])
        del self._uploads[name]
        self._completed.add(name)
        more = _element("ChecksumCRC32C", told) + _element("ChecksumType", kind)
        return _with_body(answer, answer.body.replace(b"</ETag>", b"</ETag>" + more))

    def _object(self, request: Request, path: str) -> Answer:
        told = request.headers.get("x-amz-checksum-crc32c")
        if told not in (None, _crc(request.body)):
            self.refused += 1
            return _error(400, "BadDigest")
        answer = self._pass(request)
        if answer.status != 200 or told is None:
            return answer
        self._objects[path] = (_header(answer, "etag"), told, "FULL_OBJECT", [])
        return _with_headers(answer, {"crc32c": told, "type": "FULL_OBJECT"})

    def _head(self, answer: Answer, path: str) -> Answer:
        etag, told, kind, _ = self._objects.get(path, ("", "", "", []))
        return _with_headers(answer, {"crc32c": told, "type": kind}) if etag and etag == _header(answer, "etag") else answer

    def _attributes(self, request: Request, path: str) -> Answer:
        etag, _, _, parts = self._objects[path]
        inside = b"".join(
            b"<Part>" + _element("PartNumber", n) + _element("Size", size) + _element("ChecksumCRC32C", crc) + b"</Part>"
            for n, (size, crc) in enumerate(parts, 1)
        )
        more = _element("PartsCount", len(parts)) + _element("IsTruncated", "false")
        body = _element("ETag", etag) + b"<ObjectParts>" + more + inside + b"</ObjectParts>"
        return _answer(200, b"<GetObjectAttributesResponse>" + body + b"</GetObjectAttributesResponse>")


def _crc(data: bytes) -> str:
    return base64.b64encode(value(data).to_bytes(4, "big")).decode()


def _element(name: str, text: object) -> bytes:
    return f"<{name}>{text}</{name}>".encode()


def _text(body: bytes, name: str) -> str:
    found = re.search(f"<{name}>(.*?)</{name}>".encode(), body, re.DOTALL)
    return found.group(1).decode() if found else ""


def _header(answer: Answer, name: str) -> str:
    found = re.search(rf"(?im)^{name}: (.*?)\r$", answer.head.decode("latin-1"))
    return found.group(1).strip('"') if found else ""


def _with_headers(answer: Answer, checksums: dict[str, str]) -> Answer:
    more = "".join(f"x-amz-checksum-{name}: {text}\r\n" for name, text in checksums.items())
    return replace(answer, head=answer.head[:-2] + more.encode() + b"\r\n")


def _with_body(answer: Answer, body: bytes) -> Answer:
    head = re.sub(rb"(?im)^content-length: \d+", f"Content-Length: {len(body)}".encode(), answer.head)
    return replace(answer, head=head, body=body)


def _answer(status: int, body: bytes) -> Answer:
    head = f"HTTP/1.1 {status} Said\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    return Answer(head.encode(), body, status)


def _error(status: int, code: str) -> Answer:
    return _answer(status, f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>".encode())
