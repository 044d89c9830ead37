"""Pages of a listing of S3, read straight from the answer: botocore takes most of a listing's time for taking it apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import Any, Final
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

_EVENT: Final = "before-parse.s3.ListObjectsV2"
_NOTHING: Final = b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>'

_keeping: ContextVar[list[bytes] | None] = ContextVar("persistence_fsspec_pages", default=None)


def one_page(fs: Any, **wanted: Any) -> Mapping[str, Any]:
    """One page, in the shape that botocore gives it; of an object, only key, size, time and ETag.

    The client sends the request and judges the answer as ever. Where it does not hand over the answer before it takes
    it apart, as before version 1.36, or where that is not what was expected, this is its own page.

    Args:
        fs: A connected ``s3fs.S3FileSystem``, whose client `hand_over` has prepared.
        wanted: Arguments of ``list_objects_v2``.
    """
    bodies: list[bytes] = []
    token = _keeping.set(bodies)
    try:
        page: Mapping[str, Any] = fs.call_s3("list_objects_v2", **wanted)  # its event loop works in this very context
    finally:
        _keeping.reset(token)
    if bodies:
        try:
            page = read_page(bodies[-1])
        except (ET.ParseError, TypeError, ValueError):
            page = fs.call_s3("list_objects_v2", **wanted)
    return page


def hand_over(client: Any) -> None:
    """Let a client hand its pages over, where `one_page` asks for them."""
    client.meta.events.register_last(_EVENT, _keep, unique_id="persistence-fsspec-pages")


def _keep(response_dict: dict[str, Any], **_: Any) -> None:
    bodies, body = _keeping.get(), response_dict.get("body")
    if bodies is not None and response_dict.get("status_code") == 200 and isinstance(body, bytes):
        bodies.append(body)
        response_dict["body"] = _NOTHING


def read_page(body: bytes) -> Mapping[str, Any]:
    """Take a page apart.

    Raises:
        xml.etree.ElementTree.ParseError: It is no XML.
        TypeError: Something is missing.
        ValueError: A number or a time is none.
    """
    root = ET.fromstring(body)  # noqa: S314 - as botocore reads it, from the server that is trusted with the objects
    space, name, _ = root.tag.partition("ListBucketResult")
    if not name:
        raise ValueError("this is no listing")
    encoded = root.findtext(f"{space}EncodingType") == "url"
    page: dict[str, Any] = {
        "Contents": list(_objects(root, space, encoded=encoded)),
        "CommonPrefixes": [
            {"Prefix": _name(found.findtext(f"{space}Prefix"), encoded=encoded)}
            for found in root.iterfind(f"{space}CommonPrefixes")
        ],
        "IsTruncated": root.findtext(f"{space}IsTruncated") == "true",
    }
    if page["IsTruncated"]:
        page["NextContinuationToken"] = _there(root.findtext(f"{space}NextContinuationToken"))
    return page


def _objects(root: ET.Element, space: str, *, encoded: bool) -> Iterator[Mapping[str, Any]]:
    key, size, modified, etag = (f"{space}{name}" for name in ("Key", "Size", "LastModified", "ETag"))
    for found in root.iterfind(f"{space}Contents"):
        yield {
            "Key": _name(found.findtext(key), encoded=encoded),
            "Size": int(_there(found.findtext(size))),
            "LastModified": _time(_there(found.findtext(modified))),
            "ETag": found.findtext(etag),
        }


def _name(text: str | None, *, encoded: bool) -> str:
    text = _there(text)
    return unquote_plus(text) if encoded and ("%" in text or "+" in text) else text


def _time(text: str) -> datetime:
    if not text.endswith("Z"):
        raise ValueError(text)
    found = datetime.fromisoformat(text[:-1])
    return found.replace(tzinfo=timezone.utc)


def _there(text: str | None) -> str:
    if text is None:
        raise TypeError("a page without it")
    return text
