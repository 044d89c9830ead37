"""From what ``urlparse`` made of a path in the catalog back to the path."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from urllib.parse import ParseResult

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
    rest = f"{fragment.path}{_behind(';', fragment.params)}{_behind('?', fragment.query)}{_behind('#', fragment.fragment)}"
    one_slash = fragment.scheme and fragment.path.startswith("/")  # file:/x is file:///x
    if fragment.netloc or fragment.path.startswith("//") or one_slash:
        rest = f"//{fragment.netloc}{rest}"
    return f"{fragment.scheme}:{rest}" if fragment.scheme else rest


def local_path(path: str) -> Path:
    """A path of this machine, as the operating system finds it from the working folder.

    ``..`` behind a link is the parent of where the link leads, and ``~`` is a name.
    """
    folder, name = os.path.split(os.path.join(os.getcwd(), path))
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


def _behind(mark: str, text: str) -> str:
    return f"{mark}{text}" if text else ""
