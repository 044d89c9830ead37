"""A write to Google Cloud Storage that replaces one generation, and no other: gcsfs only has the condition "there is none".

https://cloud.google.com/storage/docs/request-preconditions, https://cloud.google.com/storage/docs/uploading-objects#multipart
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from persistence_fsspec.stores.dialects.base import content_type


def replace_generation(
    fs: Any, where: tuple[str, str], generation: str, data: bytes, metadata: Mapping[str, str] | None
) -> Mapping[str, Any]:
    """Write an object by one request.

    Args:
        fs: The instance.
        where: Bucket and name.
        generation: What is replaced; of anything else the service says 412.
        data: The new content.
        metadata: Text to keep with it.

    Returns:
        What the service says of the object.
    """
    bucket, name = where
    said = {"name": name, **({"metadata": dict(metadata)} if metadata else {})}
    boundary = uuid.uuid4().hex  # of gcsfs it is always the same, and so may stand in the data
    head = f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{json.dumps(said)}\r\n"
    head += f"--{boundary}\r\nContent-Type: {content_type(name) or 'application/octet-stream'}\r\n\r\n"
    answer: Mapping[str, Any] = fs.call(
        "POST",
        f"{fs._location}/upload/storage/v1/b/{bucket}/o",
        uploadType="multipart",
        ifGenerationMatch=generation,
        headers={"Content-Type": f'multipart/related; boundary="{boundary}"'},
        data=head.encode() + data + f"\r\n--{boundary}--".encode(),
        json_out=True,
    )
    return answer
