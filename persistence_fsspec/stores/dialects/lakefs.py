"""lakeFS: objects on the branches of a repository, by single calls of the client that lakefs-spec is built on.

lakefs-spec lists whatever begins like a path, remembers what it listed, and deletes all of it for one object.
Paths are ``repository/ref/key``, where the ref is a branch, a tag or a commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from persistence_fsspec.store import ObjectInfo
from persistence_fsspec.stores.dialects.base import ObjectDialect


class LakefsDialect(ObjectDialect):
    """Quirks lakefs-*."""

    def info(self, fs: Any, path: str) -> ObjectInfo:
        """The object; where there is none, one name below it proves a folder, and the branch an empty root."""
        repository, ref, key = _split(path)
        if key and not key.endswith("/"):
            try:
                with fs.wrapped_api_call(rpath=path):
                    found = _reference(fs, repository, ref).object(key).stat(**fs._request_config)
                return _described(f"{repository}/{ref}", found)
            except FileNotFoundError:
                pass  # perhaps a folder
        if next(self.children(fs, path), None) is None and key:
            raise FileNotFoundError(path)
        return ObjectInfo(key=path, kind="folder")

    def children(self, fs: Any, path: str) -> Iterator[ObjectInfo]:
        """One folder; of a repository, its branches."""
        repository, ref, _ = _split(path)
        if ref:
            return self._listed(fs, path, delimiter="/")
        return self._branches(fs, repository)

    def find(self, fs: Any, path: str) -> Iterator[ObjectInfo] | None:
        """One flat listing; a repository is walked, branch by branch."""
        return self._listed(fs, path, delimiter="") if _split(path)[1] else None

    def delete(self, fs: Any, path: str) -> None:
        """One object, by its name."""
        import lakefs  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415 - the driver's own client

        repository, ref, key = _split(path)
        with fs.wrapped_api_call(rpath=path):
            lakefs.Branch(repository, ref, client=fs.client).object(key).delete(**fs._request_config)

    def make_root(self, fs: Any, path: str) -> None:
        """Repositories need a place for their data, which only their owner can know."""

    def _listed(self, fs: Any, path: str, *, delimiter: str) -> Iterator[ObjectInfo]:
        """Page by page; a missing folder is found by holding nothing, a missing branch is refused by the service."""
        repository, ref, key = _split(path)
        prefix = f"{key}/" if key else ""
        empty = True
        with fs.wrapped_api_call(rpath=path):
            for raw in _reference(fs, repository, ref).objects(prefix=prefix, delimiter=delimiter, **fs._request_config):
                empty = False
                yield _described(f"{repository}/{ref}", raw)
        if empty and key:
            raise FileNotFoundError(path)

    def _branches(self, fs: Any, repository: str) -> Iterator[ObjectInfo]:
        import lakefs  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415 - the driver's own client

        with fs.wrapped_api_call(rpath=repository):
            for branch in lakefs.Repository(repository, client=fs.client).branches(**fs._request_config):
                yield ObjectInfo(key=f"{repository}/{branch.id}", kind="folder")


def _split(path: str) -> tuple[str, str, str]:
    repository, _, rest = path.partition("/")
    ref, _, key = rest.partition("/")
    return repository, ref, key


def _reference(fs: Any, repository: str, ref: str) -> Any:
    import lakefs  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415 - the driver's own client

    return lakefs.Reference(repository, ref, client=fs.client)


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
