"""A resumable upload whose chunks can be sent again: after a failure the service is asked first how much it has.

https://cloud.google.com/storage/docs/performing-resumable-uploads#status-check
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from persistence_fsspec.stores.dialects.base import Repeat


def repeat_chunks(file: Any, repeat: Repeat) -> Any:
    """Have a file of gcsfs repeat the requests that fail.

    Args:
        file: Opened for writing.
        repeat: See `Dialect.repeat`.

    Returns:
        The same file.
    """
    file._initiate_upload = partial(repeat, file._initiate_upload)
    if file.gcsfs.on_google:  # emulators take the question for the end of the upload
        file._upload_chunk = partial(_send_chunk, file, file._upload_chunk, repeat)
    return file


def _send_chunk(file: Any, send: Callable[[bool], Any], repeat: Repeat, final: bool = False) -> Any:  # noqa: FBT001, FBT002
    again = False

    def attempt() -> Any:
        nonlocal again
        if again and _is_complete(file):
            return True
        again = True
        return send(final)

    return repeat(attempt)


def _is_complete(file: Any) -> bool:
    """Leave out of the buffer what has arrived; whether that was the end of the upload."""
    headers, answer = file.gcsfs.call("POST", file.location, headers={"Content-Range": "bytes */*", "Content-Length": "0"})
    if "Range" not in headers and answer:  # the object, as the service describes it
        file.generation = json.loads(answer).get("generation")
        _arrived(file, len(file.buffer.getbuffer()))
        return True
    if "Range" in headers:
        _arrived(file, int(headers["Range"].rpartition("-")[2]) + 1 - file.offset)
    return False


def _arrived(file: Any, size: int) -> None:
    data = bytes(file.buffer.getbuffer())
    file.checker.update(data[:size])
    file.buffer = type(file.buffer)(data[size:])
    file.buffer.seek(0, 2)
    file.offset += size
