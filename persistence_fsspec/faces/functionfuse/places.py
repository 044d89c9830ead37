"""Where results lie: ``<path>/<workflow>/<node>``, and names that cannot mean anything else."""

from __future__ import annotations

from typing import Any, Final

from persistence_fsspec.addresses import Address, Place
from persistence_fsspec.errors import InvalidNameError
from persistence_fsspec.persistence import FSSpecPersistence

BIGDATA: Final = "bigdata"
"""Folder of a workflow for what serializers write; no node has this name."""


class NamedPersistence(FSSpecPersistence):
    """Text is a name below the path, whatever it looks like: what people call their nodes leads nowhere else."""

    def _place(self, address: Address) -> Place:
        return self._addresses.below(address) if isinstance(address, str) else super()._place(address)

    def _foreign(self, address: Address) -> Any:  # noqa: ARG002 - no name is a URL
        return None


def workflow_key(workflow: Any) -> str:
    """The key of a workflow's folder; its name may have slashes in it.

    Raises:
        InvalidNameError: It is no name, or would leave the path.
    """
    parts = _parts(workflow, "a workflow")
    if BIGDATA in parts[1:]:
        raise InvalidNameError(f"{workflow!r} would lie in the {BIGDATA!r} of another workflow; choose another name")
    return "/".join(parts)


def task_key(workflow: Any, task: Any) -> str:
    """The key of one node's result.

    Raises:
        InvalidNameError: A name is none, would leave the workflow, or is the folder of big data.
    """
    folder, parts = workflow_key(workflow), _parts(task, "a node")
    if BIGDATA in parts:
        raise InvalidNameError(f"{task!r}: {BIGDATA!r} is where serializers write; choose another name for the node")
    return "/".join([folder, *parts])


def bigdata_key(workflow: Any) -> str:
    """The key of the folder in which serializers write."""
    return f"{workflow_key(workflow)}/{BIGDATA}"


def file_key(folder: str, filename: Any) -> str:
    """The key of one file of big data.

    Raises:
        InvalidNameError: It is no name, or would leave the folder.
    """
    return "/".join([folder, *_parts(filename, "a file")])


def _parts(name: Any, what: str) -> list[str]:
    if not isinstance(name, str):
        raise InvalidNameError(f"the name of {what} is text, not {type(name).__name__}: {name!r}")
    parts = name.split("/")
    if not name or "\0" in name or not {"", ".", ".."}.isdisjoint(parts):
        raise InvalidNameError(
            f"{name!r} cannot be the name of {what}",
            hint="It is not empty, and neither is a part between slashes, nor '.' or '..'.",
        )
    return parts
