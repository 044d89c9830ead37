"""lakeFS: objects on the branches of a repository, by single calls of the client that lakefs-spec is built on.

lakefs-spec lists whatever begins like a path, remembers what it listed, deletes all of it for one object, and makes
every branch that is misspelt in a write. Paths are ``repository/ref/key``, where the ref is a branch, a tag or a commit.

Nothing can interrupt the client, so each request has a thread of its own, which the deadline leaves behind.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from functools import partial
from itertools import islice
from typing import IO, Any, Final, TypeVar

from persistence_fsspec.errors import InvalidNameError
from persistence_fsspec.store import ObjectInfo
from persistence_fsspec.stores.abandon import in_own_thread
from persistence_fsspec.stores.dialects.base import ObjectDialect, content_type

_T = TypeVar("_T")

_REPOSITORY: Final = re.compile(r"[a-z0-9][a-z0-9-]{2,62}")
_PAGE: Final = 1000
"""Entries that are listed in one go."""


class LakefsDialect(ObjectDialect):
    """Quirks lakefs-*."""

    def restrain(self, fs: Any, *, stall_seconds: float, given: bool) -> None:
        """The time to connect, and between two pieces of an answer; and one try by urllib3.

        No option says either of every request: urllib3 sends all but POST three times more.
        """
        from urllib3 import Retry, Timeout  # noqa: PLC0415 - loaded with the driver

        pools = fs.client.sdk_client.objects_api.api_client.rest_client.pool_manager
        tries = {} if given else {"retries": Retry(total=None, connect=0, read=0, redirect=3, status=0, other=0)}
        usual = partial(type(pools).request, pools)  # not what an earlier store over the same instance has put in its place
        pools.request = partial(_within, usual, Timeout(connect=stall_seconds, read=stall_seconds), **tries)

    # --- looking ---

    def info(self, fs: Any, path: str) -> ObjectInfo:
        """The object; where there is none, one name below it proves a folder, and the branch an empty root."""
        repository, ref, key = _split(path)
        if key and not key.endswith("/"):
            with contextlib.suppress(FileNotFoundError):  # or perhaps a folder
                return _described(
                    f"{repository}/{ref}", _asked(lambda: _reference(fs, repository, ref).object(key).stat(**_limits(fs)))
                )
        if next(self.children(fs, path), None) is None and key:
            raise FileNotFoundError(path)
        return ObjectInfo(key=path, kind="folder")

    def children(self, fs: Any, path: str) -> Iterator[ObjectInfo]:
        """One folder; of a repository, its branches."""
        repository, ref, _ = _split(path)
        if ref:
            return self._listed(fs, path, delimiter="/")
        return self._branches(fs, repository)

    def find(self, fs: Any, path: str) -> Iterator[ObjectInfo]:
        """One flat listing; of a repository, one of each branch."""
        repository, ref, _ = _split(path)
        if ref:
            yield from self._listed(fs, path, delimiter="")
            return
        for branch in self._branches(fs, repository):
            yield from self._listed(fs, branch.key, delimiter="")

    def _listed(self, fs: Any, path: str, *, delimiter: str) -> Iterator[ObjectInfo]:
        """A missing folder is found by holding nothing, a missing branch is refused by the service."""
        repository, ref, key = _split(path)
        found = _reference(fs, repository, ref).objects(prefix=f"{key}/" if key else "", delimiter=delimiter, **_limits(fs))
        empty = True
        for raw in _in_pages(found):
            empty = False
            yield _described(f"{repository}/{ref}", raw)
        if empty and key:
            raise FileNotFoundError(path)

    def _branches(self, fs: Any, repository: str) -> Iterator[ObjectInfo]:
        for branch in _in_pages(_client().Repository(repository, client=fs.client).branches(**_limits(fs))):
            yield ObjectInfo(key=f"{repository}/{branch.id}", kind="folder")

    # --- bytes ---

    def read(self, fs: Any, path: str, start: int | None, end: int | None, pin: ObjectInfo | None) -> bytes:
        """By the driver."""
        return _asked(lambda: ObjectDialect.read(self, fs, path, start, end, pin))

    def write_object(
        self,
        fs: Any,
        path: str,
        body: bytes | IO[bytes],
        *,
        create: bool = False,  # noqa: ARG002 - not among this driver's capabilities
        if_match: str | None = None,  # noqa: ARG002
        metadata: Mapping[str, str] | None = None,  # noqa: ARG002
    ) -> ObjectInfo | None:
        """One upload to a branch that is there."""
        target = _object(fs, path)
        data = body if isinstance(body, bytes) else body.read()
        more = {"pre_sign": getattr(fs, "pre_sign", None), "content_type": content_type(path), **_limits(fs)}
        _asked(lambda: target.upload(data, mode="wb", **more))
        return None

    def copy(self, fs: Any, source: str, target: str) -> None:
        """Inside the service."""
        _asked(lambda: ObjectDialect.copy(self, fs, source, target))

    def delete(self, fs: Any, path: str) -> None:
        """One object, by its name."""
        target = _object(fs, path)
        _asked(lambda: target.delete(**_limits(fs)))

    def make_root(self, fs: Any, path: str) -> None:
        """Repositories need a place for their data, which only their owner can know."""


def _within(request: Callable[..., _T], limit: Any, *arguments: Any, timeout: Any = None, **options: Any) -> _T:
    return request(*arguments, timeout=limit if timeout is None else timeout, **options)


def _split(path: str) -> tuple[str, str, str]:
    """Repository, ref and key.

    Raises:
        InvalidNameError: No repository has such a name.
    """
    repository, _, rest = path.partition("/")
    if not _REPOSITORY.fullmatch(repository):
        raise InvalidNameError(
            f"{repository!r} is no name of a lakeFS repository: 3 to 63 lower-case letters, digits and dashes",
            hint="A URL is lakefs://repository/branch/key.",
        )
    ref, _, key = rest.partition("/")
    return repository, ref, key


def _object(fs: Any, path: str) -> Any:
    repository, branch, key = _split(path)
    if not key:
        raise InvalidNameError("it names a branch, not an object on one", hint="A URL is lakefs://repository/branch/key.")
    return _client().Branch(repository, branch, client=fs.client).object(key)


def _reference(fs: Any, repository: str, ref: str) -> Any:
    return _client().Reference(repository, ref, client=fs.client)


def _client() -> Any:
    """The driver's own client."""
    import lakefs  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415 - loaded with the driver

    return lakefs


def _limits(fs: Any) -> Mapping[str, Any]:
    """What the caller said of each request; younger drivers keep it."""
    limits: Mapping[str, Any] = getattr(fs, "_request_config", {})
    return limits


def _in_pages(found: Iterator[Any]) -> Iterator[Any]:
    while True:
        page = _asked(lambda: list(islice(found, _PAGE)))
        yield from page
        if len(page) < _PAGE:
            return


def _asked(act: Callable[[], _T]) -> _T:
    """Act in a thread of its own; errors are the client's, which say more than what the driver makes of them.

    Raises:
        FileNotFoundError: The service says what is missing: the object, the branch, or the repository.
    """
    try:
        answer: _T = in_own_thread(act)
    except Exception as exc:
        told = exc.__cause__ if isinstance(exc, OSError) and hasattr(exc.__cause__, "status_code") else exc
        if getattr(told, "status_code", None) == 404:
            raise FileNotFoundError(_said(told) or "not found") from told
        if told is None or told is exc:
            raise
        raise told from None
    return answer


def _said(exc: BaseException | None) -> str:
    body = getattr(exc, "body", None)
    return str(body.get("message", "")) if isinstance(body, Mapping) else ""


def _described(above: str, raw: Any) -> ObjectInfo:
    """An object, or what the names of several begin with."""
    if not hasattr(raw, "size_bytes"):
        return ObjectInfo(key=f"{above}/{raw.path.rstrip('/')}", kind="folder")
    return ObjectInfo(
        key=f"{above}/{raw.path}",
        size=raw.size_bytes,
        modified=datetime.fromtimestamp(raw.mtime, tz=timezone.utc),
        metadata=raw.metadata or {},
    )
