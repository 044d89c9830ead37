"""Nothing is changed through this layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any, NoReturn

from persistence_fsspec.capabilities import Capabilities
from persistence_fsspec.errors import UnsupportedPersistenceOp
from persistence_fsspec.layers.layer import Layer
from persistence_fsspec.store import Leftover, ObjectInfo


def _refusing(operation: str) -> Callable[..., NoReturn]:
    def refuse(self: Layer, what: str | Leftover | ObjectInfo = "", *_: Any, **__: Any) -> NoReturn:
        url = self.url(what if isinstance(what, str) else what.key)
        raise UnsupportedPersistenceOp(
            "is refused: Policy(read_only=True)", operation=operation, url=url, hint="Leave read_only out to write."
        )

    refuse.__name__ = operation
    refuse.__doc__ = "Refused."
    return refuse


class ReadOnlyLayer(Layer):
    """Refuses what would change the store, before anything is sent."""

    @cached_property
    def capabilities(self) -> Capabilities:
        """What is left without writing."""
        return replace(
            self.inner.capabilities,
            write=False,
            publish="none",
            create=False,
            if_match=False,
            append="none",
            parts="none",
            versions="none" if self.inner.capabilities.versions == "copies" else self.inner.capabilities.versions,
            attributes=(),
            copy=False,
            rename=False,
            metadata=False,
        )

    writer = _refusing("write")
    upload = _refusing("write")
    make_folder = _refusing("make folder")
    make_root = _refusing("make bucket")
    snapshot = _refusing("snapshot")
    forget = _refusing("delete")
    discard = _refusing("delete")
    append = _refusing("append")
    copy = _refusing("copy")
    rename = _refusing("rename")
    delete = _refusing("delete")
    delete_folder = _refusing("delete")
