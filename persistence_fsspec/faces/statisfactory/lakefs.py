"""Where something lies in lakeFS: the repository of the project, on the branch of git, or where ``lake_ref`` says."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import fsspec

from persistence_fsspec.errors import (
    InvalidNameError,
    InvalidOptionError,
    ObjectExistsError,
    ObjectNotFoundError,
    PersistenceError,
    StoreError,
)
from persistence_fsspec.faces.statisfactory.settings import said
from persistence_fsspec.foreign import translated
from persistence_fsspec.layers.loop import retrying
from persistence_fsspec.policy import Policy

SLUG: Final = re.compile(r"^[a-zA-Z0-9\-]*$")
"""statisfactory's rule for a branch of git, once its slashes are dashes."""

_BRANCH: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-]*")
"""The names of these that lakeFS can have."""

_REPOSITORY: Final = re.compile(r"[a-z0-9][a-z0-9\-]{2,62}")

_REF: Final = re.compile(r"\w[\w\-.]*(([~^]\d*)*|@)?")
_SOURCE: Final = "main"


class BranchNameError(InvalidNameError):
    """lakeFS has no branches with such a name."""


class BranchError(StoreError):
    """The branch is not there, and could not be made."""


def url_of(path: str, session: Any, lake_ref: Any) -> str:
    """The full URL of a path.

    Args:
        path: ``lakefs://anything/path``; the session names the repository, so the part before the path is only one without it.
        session: statisfactory's, or None.
        lake_ref: A branch, a tag, or a commit; None for git's branch.

    Raises:
        BranchNameError: git's branch has a name that lakeFS cannot have.
        InvalidNameError: *lake_ref* cannot be one, or there is no repository that can have its name.
        InvalidOptionError: Nobody says which branch.
    """
    host, _, key = path.partition("://")[2].partition("/")
    repository = _repository(session) or host
    if not repository:
        raise InvalidNameError("neither the session nor the URL names a lakeFS repository", url=path)
    if not _REPOSITORY.fullmatch(repository):
        raise InvalidNameError(
            f"lakeFS has no repository {repository!r}: its name must match {_REPOSITORY.pattern}",
            hint="It is the project_slug of the session, and without one the first part of the URL.",
        )
    return f"lakefs://{repository}/{_branch(session, lake_ref)}/{key.lstrip('/')}"


def make_branch(url: str, options: Mapping[str, Any], policy: Policy, exists: Callable[[str], bool]) -> None:
    """Make the branch that a URL names, from ``main``; one that is there by now is fine.

    Args:
        url: ``lakefs://repository/branch/path``.
        options: Of the driver.
        policy: How often to try, and for how long.
        exists: Whether there is something under a URL; asked when it fails.

    Raises:
        BranchError: It cannot be made.
    """
    import lakefs  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415 - the driver's own client

    repository, branch, *_ = url.partition("://")[2].split("/", 2)

    def make() -> None:
        with translated("make a branch", url):
            # The driver's class would keep an instance with the login in it.
            client = fsspec.filesystem("lakefs", **{**options, "skip_instance_cache": True}).client
            new = lakefs.Branch(repository, branch, client=client)
            new.create(_SOURCE, exist_ok=True, _request_timeout=policy.timeout_seconds)

    try:
        retrying(policy, "make a branch", url, make)
    except ObjectExistsError:
        return
    except Exception as exc:
        message = f"the branch {branch!r} of {repository!r} is not there, and cannot be made from {_SOURCE!r}"
        hint = absent(f"lakefs://{repository}/{_SOURCE}", exists) if isinstance(exc, ObjectNotFoundError) else ""
        raise BranchError(f"{message}: {getattr(exc, 'message', exc)}", operation="write", url=url, hint=hint) from exc


def absent(url: str, exists: Callable[[str], bool]) -> str:
    """What of a path's repository and branch is not there, as a sentence; empty when both are, or it cannot be known.

    Args:
        url: ``lakefs://repository/ref/path``.
        exists: Whether there is something under a URL.
    """
    repository, ref, *_ = url.partition("://")[2].split("/", 2)
    try:
        if exists(f"lakefs://{repository}/{ref}"):
            return ""
        if exists(f"lakefs://{repository}"):
            return f"There is no branch, tag or commit {ref!r} in {repository!r}: only a put makes a branch."
    except PersistenceError:
        return ""
    return f"There is no repository {repository!r}, and none is made."


def _repository(session: Any) -> str:
    """The name of statisfactory's own pointer to it, which only exists where all settings of lakeFS are there; else the slug."""
    try:
        return str(session.lakefs_repo["name"])
    except Exception:  # noqa: BLE001 - whatever a session without one says
        return said(session, "project_slug")


def _branch(session: Any, lake_ref: Any) -> str:
    if lake_ref is not None and lake_ref != "":
        if not isinstance(lake_ref, str) or not _REF.fullmatch(lake_ref):
            raise InvalidNameError(f"lake_ref {lake_ref!r} is no branch, tag or commit of lakeFS")
        return lake_ref
    try:
        name = str(session.git.head.shorthand)
    except Exception as exc:
        raise InvalidOptionError(
            "it is not known which branch of lakeFS is meant: git has none", hint="Say which with lake_ref, in the context."
        ) from exc
    slug = name.replace("\\", "-").replace("/", "-")
    if not _BRANCH.fullmatch(slug):
        raise BranchNameError(
            f"git's branch {name!r} cannot be one of lakeFS: its name must match {_BRANCH.pattern}",
            hint="Rename it, or say which branch with lake_ref.",
        )
    return slug
