"""From what ``urlparse`` made of a path in the catalog back to the path."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from urllib.parse import ParseResult

from persistence_fsspec.errors import InvalidNameError, IsAFolderError, ObjectNotFoundError

LOCAL: Final = frozenset({"", "file", "local"})
"""Schemes of the files of this machine."""


def url_of(fragment: ParseResult) -> str:
    """The URL or local path that was parsed, with ``;``, ``?`` and ``#`` in its name.

    What ``urlparse`` throws away cannot be known: a ``?``, ``#`` or ``;`` with nothing behind it, line breaks and tabs.

    Args:
        fragment: As statisfactory hands it over. Nothing in it is decoded: ``%20`` is three characters of a name.

    Examples:
        >>> from urllib.parse import urlparse
        >>> url_of(urlparse("s3://bucket/a%20b;c?d#e"))
        's3://bucket/a%20b;c?d#e'
        >>> url_of(urlparse("memory:///a")), url_of(urlparse("simplecache::s3://b/x")), url_of(urlparse("a/b#1.csv"))
        ('memory:///a', 'simplecache::s3://b/x', 'a/b#1.csv')
    """
    rest = _name(fragment)
    one_slash = fragment.scheme and fragment.path.startswith("/")  # file:/x is file:///x
    if fragment.netloc or fragment.path.startswith("//") or one_slash:
        rest = f"//{fragment.netloc}{rest}"
    return f"{fragment.scheme}:{rest}" if fragment.scheme else rest


def local_path(fragment: ParseResult) -> Path:
    """The file of this machine that is meant, as the operating system finds it from the working folder.

    ``..`` behind a link is the parent of where the link leads, and ``~`` is a name. ``file:a.csv`` is ``a.csv``.

    Args:
        fragment: With a scheme of `LOCAL`.

    Raises:
        InvalidNameError: A file of another machine.
        IsAFolderError: A folder.
        ObjectNotFoundError: The working folder is gone.
    """
    if fragment.scheme and fragment.netloc not in {"", "localhost"}:
        raise InvalidNameError(
            f"{url_of(fragment)!r} is a file of another machine, {fragment.netloc!r}",
            hint=f"Files of this one have three slashes, {fragment.scheme}:///folder/name, or no protocol.",
        )
    path = _name(fragment) if fragment.scheme else url_of(fragment)
    if not path or path.endswith("/"):
        raise IsAFolderError("names a folder, not an artifact", url=url_of(fragment))
    folder, name = os.path.split(path if os.path.isabs(path) else os.path.join(_here(), path))
    if ".." in folder.split(os.sep):
        folder = os.path.realpath(folder)
    return Path(folder, name)


def slashed(url: str) -> str:
    """The URL of the key with a slash in front.

    Examples:
        >>> slashed("s3://bucket/dir/k")
        's3://bucket//dir/k'
    """
    head, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    return f"{head}://{bucket}//{key}"


def _name(fragment: ParseResult) -> str:
    """The path with what ``urlparse`` took for something else."""
    return f"{fragment.path}{_behind(';', fragment.params)}{_behind('?', fragment.query)}{_behind('#', fragment.fragment)}"


def _here() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError as exc:
        raise ObjectNotFoundError("the working folder is not there any more") from exc


def _behind(mark: str, text: str) -> str:
    return f"{mark}{text}" if text else ""
