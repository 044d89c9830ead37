"""``file:///data`` as the prefix of raw outputs, in flytekit from 1.5 on: the folder ``/data``, as it was in older ones.

By itself it writes that URL down for what it has made, and does not find it
again: not for a FlyteFile, a FlyteDirectory, nor a data frame.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from persistence_fsspec.dotted import dotted
from persistence_fsspec.faces.flyte.wrapping import Wrapped
from persistence_fsspec.overrides import Override, chosen


def override(framework: str) -> Iterator[Override]:
    """Let flytekit's ``FileAccessProvider`` take the path of the folder for its URL.

    Args:
        framework: For the record.
    """
    from flytekit.core.data_persistence import FileAccessProvider

    if os.name == "nt" or not chosen(("file",)):
        return  # on Windows, flytekit says that it does not take such a prefix
    before: Any = FileAccessProvider.__init__
    wrapped = Wrapped(FileAccessProvider, {"__init__": _with_path})

    yield Override(
        framework=framework,
        protocol="file",
        before=dotted(before),
        ours=dotted(_with_path),
        why="what flytekit writes below file:// is found again",
        look=lambda: dotted(_with_path if wrapped.on else before),
        restore=wrapped.restore,
    )


def _with_path(original: Callable[..., None]) -> Callable[..., None]:
    def init(self: Any, local_sandbox_dir: Any, raw_output_prefix: Any, *args: Any, **options: Any) -> None:
        original(self, local_sandbox_dir, str(raw_output_prefix).removeprefix("file://"), *args, **options)

    return init
