"""Whether an S3 server keeps the conditions of a write. Some answer as if they did, and overwrite."""

from __future__ import annotations

import contextlib
from typing import Any, Final
from urllib.parse import urlsplit

from persistence_fsspec.errors import UnsupportedPersistenceOp
from persistence_fsspec.stores.dialects.s3_upload import status_of
from persistence_fsspec.stores.partial import partial_key

_AMAZON: Final = (".amazonaws.com", ".amazonaws.com.cn")
_NOBODY: Final = '"00000000000000000000000000000000"'
"""The ETag of no object."""
_REFUSALS: Final = frozenset({404, 409, 412, 501})
"""What a condition that does not hold is answered with; 501 where there are none, which overwrites nothing either."""


class Conditions:
    """What the server of one store does with conditions, as far as it was seen. Amazon's keep them.

    Attributes:
        kept: Whether the server holds to ``If-None-Match`` and ``If-Match``.
    """

    def __init__(self) -> None:
        self.kept: dict[str, bool] = {}

    def require(self, fs: Any, path: str, *, create: bool, if_match: str | None) -> None:
        """Refuse a conditional write that would not be one. The first asks the server, by an empty object beside the target.

        Raises:
            UnsupportedPersistenceOp: The server takes no notice of the condition.
        """
        if not create and not if_match:
            return
        condition = "If-None-Match" if create else "If-Match"
        if condition not in self.kept:
            self.kept[condition] = _is_amazon(fs) or _keeps(fs, path, create=create)
        if not self.kept[condition]:
            raise UnsupportedPersistenceOp(
                f"this server overwrites whatever {condition} says, so that the work of another writer would be lost",
                hint="Give each writer a name of its own instead, or ask for a server that keeps conditional writes.",
            )


def _is_amazon(fs: Any) -> bool:
    client = getattr(getattr(fs, "s3", None), "meta", None)
    return (urlsplit(getattr(client, "endpoint_url", None) or "").hostname or "").endswith(_AMAZON)


def _keeps(fs: Any, path: str, *, create: bool) -> bool:
    """Let the server refuse what it has to refuse: of an object that is there, for some look no further where there is none."""
    bucket, key, _ = fs.split_path(partial_key(path))
    condition = {"IfNoneMatch": "*"} if create else {"IfMatch": _NOBODY}
    try:
        fs.call_s3("put_object", Bucket=bucket, Key=key, Body=b"")
        try:
            fs.call_s3("put_object", Bucket=bucket, Key=key, Body=b"", **condition)
        except OSError as exc:
            if status_of(exc) not in _REFUSALS:
                raise  # it says nothing about conditions
            return True
    finally:
        with contextlib.suppress(OSError):
            fs.call_s3("delete_object", Bucket=bucket, Key=key)
    return False
