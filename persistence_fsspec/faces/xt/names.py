"""From what XT calls containers and blobs to keys; no name means anything else than itself."""

from __future__ import annotations

from typing import Final

from persistence_fsspec.errors import InvalidNameError, IsAFolderError
from persistence_fsspec.location import is_local_path, is_url

MARKER: Final = ".xt-container"
"""Name of the object that stands for an empty container, where there are no folders. No blob may have it."""


def container_key(name: str) -> str:
    """A name of a container, which is one part of a key, and cannot be anything else.

    Raises:
        InvalidNameError: It would lead somewhere else.
    """
    # Behind a drive letter, as in "c:", only a slash is missing.
    if name in {"", ".", ".."} or set(name) & {"/", "\\", "\0"} or is_url(name) or is_local_path(f"{name}/"):
        raise InvalidNameError(f"{name!r} is no name of a container")
    return name


def blob_key(container: str, path: str) -> str:
    """The key of a blob.

    Raises:
        InvalidNameError: It would leave its container, or is not for blobs.
        IsAFolderError: It ends in a slash, or is empty.
    """
    if names_folder(path):
        raise IsAFolderError(f"{path!r} names a folder, not a blob")
    name = tidy(path)
    if name == MARKER:
        raise InvalidNameError(f"{MARKER!r} stands for the container itself, and is no name of a blob")
    return literal(f"{container_key(container)}/{name}")


def folder_key(container: str, path: str) -> str:
    """The key of a folder; that of the container for an empty path.

    Raises:
        InvalidNameError: It would leave its container.
    """
    name = tidy(path).rstrip("/")
    return literal(f"{container_key(container)}/{name}" if name else container_key(container))


def names_folder(path: str) -> bool:
    """Whether a path can only be that of a folder."""
    return not tidy(path) or tidy(path).endswith("/")


def tidy(path: str) -> str:
    """A path without what means nothing: slashes in front, and parts ``.``, which XT's commands leave in.

    Examples:
        >>> tidy("/a/./b"), tidy("./a/."), tidy("./")
        ('a/b', 'a/', '')
    """
    *folders, name = path.lstrip("/").split("/")
    return "/".join([*(one for one in folders if one != "."), "" if name == "." else name]).lstrip("/")


def literal(key: str) -> str:
    """A key, which must not be taken for a URL, or a path of this machine.

    Raises:
        InvalidNameError: It would be.
    """
    if is_url(key):
        raise InvalidNameError(f"{key!r}: a name with '://' in it would be taken for a URL")
    if is_local_path(key):
        raise InvalidNameError(f"{key!r} would be taken for a path of this machine")
    return key


def asked(path: str | None) -> tuple[str, str]:
    """What a listing is of: a folder, and how names begin."""
    wanted = tidy(path or "")
    if wanted.endswith("*"):
        beginning = wanted[:-1]
        return beginning.rpartition("/")[0], beginning
    folder = wanted.rstrip("/")
    return folder, f"{folder}/" if folder else ""
