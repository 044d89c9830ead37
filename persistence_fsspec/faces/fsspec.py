"""The door back: ``persist::s3://bucket/x`` works wherever fsspec URLs do, with our promises behind it."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import fsspec
from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.implementations.chained import ChainedFileSystem
from fsspec.json import FilesystemJSONEncoder

from persistence_fsspec.config import KEYWORD, OptionSource
from persistence_fsspec.errors import ObjectNotFoundError
from persistence_fsspec.faces import trees
from persistence_fsspec.fileobject import Appender, ObjectWriter
from persistence_fsspec.location import parse
from persistence_fsspec.persistence import FSSpecPersistence
from persistence_fsspec.policy import Policy
from persistence_fsspec.secret import as_tables, referenced_variables
from persistence_fsspec.sensitive import check_portable, literal_secrets, resolved
from persistence_fsspec.store import ObjectInfo
from persistence_fsspec.stores.opening import driver_class, options_at
from persistence_fsspec.stores.strict import require_known
from persistence_fsspec.stores.supply import Supply

# What fsspec gives to every file system; the rest is meant for the one behind the door.
_FSSPEC_OPTIONS: Final = ("asynchronous", "loop", "batch_size", "use_listings_cache", "listings_expiry_time", "max_paths")


class PersistFileSystem(ChainedFileSystem):  # type: ignore[misc]  # fsspec has no types
    """An fsspec filesystem over `FSSpecPersistence`.

    Made by a URL, ``persist::s3://bucket/x``, its paths are those of the wrapped
    filesystem; made by `FSSpecPersistence.fsspec_filesystem`, they are keys
    below that persistence's default prefix.

    Args:
        fo: Path in the wrapped filesystem; fsspec passes it, and paths say it again.
        target_protocol: Of the wrapped filesystem.
        target_options: Of the wrapped filesystem.
        adapter: A persistence to show, instead of a wrapped filesystem.
        profile: Of ``persistence.toml``, as for `FSSpecPersistence`. A driver's own option of that name goes below its
            protocol: ``{"s3": {"profile": ...}}``.
        policy: As for `FSSpecPersistence`.
        options: Also for the wrapped filesystem, which is whose options people mean. Secrets are best given as a
            `SecretReference`, or ``{"env": "NAME"}``: other ones are not pickled, and dask pickles.

    Raises:
        InvalidOptionError: A secret is not where its reference says; or a plain table names a file or a program: only a
            `SecretReference` may.
    """

    protocol: Any = "persist"
    root_marker = ""
    cachable = False

    def __init__(
        self,
        fo: str = "",
        target_protocol: str | None = None,
        target_options: dict[str, Any] | None = None,
        adapter: FSSpecPersistence | None = None,
        profile: str | None = None,
        policy: Policy | None = None,
        **options: Any,
    ) -> None:
        own = {name: options.pop(name) for name in _FSSPEC_OPTIONS if name in options}
        super().__init__(**own)
        self._target: Any = None
        if adapter is None:
            protocol = target_protocol or "file"
            given = referenced_variables({**options, **(target_options or {})})
            self._target = fsspec.filesystem(protocol, **_options_of(protocol, fo, given, profile))
            adapter = FSSpecPersistence(filesystem=self._target, policy=policy)
        self.adapter = adapter

    def __reduce__(self) -> Any:
        self._check_portable()
        return super().__reduce__()

    def to_dict(self, *, include_password: bool = True) -> dict[str, Any]:  # noqa: ARG002 - fsspec's; none is included anyway
        """For JSON; references to variables are written as tables.

        Raises:
            SecretPicklingError: It holds secrets themselves.
            InvalidOptionError: It refers to a file or a program, which JSON cannot make anybody read or run.
        """
        self._check_portable()
        options = {name: value for name, value in as_tables(self.storage_options).items() if value is not None}
        referenced_variables(options)
        encoder = FilesystemJSONEncoder()
        written = {name: encoder.make_serializable(value) for name, value in options.items()}
        own = {"cls": f"{type(self).__module__}:{type(self).__qualname__}", "protocol": self.protocol}
        return {**own, "args": encoder.make_serializable(self.storage_args), **written}

    def _check_portable(self) -> None:
        """An adapter looks after its own secrets, when it is pickled in its turn."""
        options = {name: value for name, value in self.storage_options.items() if name not in {"adapter", "policy"}}
        if self.storage_options.get("adapter") is not None:
            self.storage_options["adapter"].__getstate__()
        check_portable("this filesystem", literal_secrets(referenced_variables(options)))

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        stripped: str = fsspec.utils.stringify_path(path).removeprefix("persist://").removeprefix("persist::")
        return stripped.rstrip("/")

    def _address(self, path: str) -> str:
        path = self._strip_protocol(path)
        return path if self._target is None else str(self._target.unstrip_protocol(path))

    def _entry(self, info: ObjectInfo, path: str) -> dict[str, Any]:
        kind = "directory" if info.is_folder else "file"
        size = 0 if info.is_folder else info.size
        return {"name": path, "type": kind, "size": size, "mtime": info.modified, "version": info.version}

    def _name(self, key: str) -> str:
        """A name as fsspec has it, of a name as the adapter has it."""
        return key if self._target is None else str(self._target._strip_protocol(key))

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        return self._entry(self.adapter.info(self._address(path)), self._strip_protocol(path))

    def exists(self, path: str, **_: Any) -> bool:
        return self.adapter.exists(self._address(path))

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:  # noqa: FBT001, FBT002 - fsspec's signature
        address = self._address(path)
        place = self.adapter._place(address)
        if place.key and not place.store.info(place.key).is_folder:
            entries = [self.info(path)]
        else:
            entries = [self._entry(e, self._name(place.name_of(e.key))) for e in place.store.children(place.key)]
        return entries if detail else sorted(entry["name"] for entry in entries)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        return self.adapter.read_bytes(self._address(path), start=start, end=end)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        self.adapter.write_bytes(self._address(path), value, overwrite=mode != "create")

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        if "r" in mode:
            return self.adapter.open(self._address(path), mode)
        place = self.adapter._place(self._address(path)).require_object()
        if "a" in mode:
            return ObjectWriter(Appender(place.store, place.key))
        return ObjectWriter(place.store.writer(place.key, overwrite="x" not in mode))

    def open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        """Text is put on top here, so that an exception discards it too."""
        if "b" in mode or options.get("compression"):
            return super().open(path, mode, **options)
        return self.adapter.open(self._address(path), mode, encoding=options.get("encoding"))

    def get_file(self, rpath: str, lpath: Any, **options: Any) -> None:
        if isinstance(lpath, io.IOBase):
            lpath.write(self.cat_file(rpath))
        elif self.isdir(rpath):
            os.makedirs(lpath, exist_ok=True)
        else:
            self.adapter.get(self._address(rpath), lpath, progress=options.get("callback"))

    def put_file(self, lpath: str, rpath: str, mode: str = "overwrite", **options: Any) -> None:
        if not os.path.isdir(lpath):  # fsspec hands folders in too; they appear with the objects in them
            overwrite = mode != "create"
            self.adapter.put(lpath, self._address(rpath), overwrite=overwrite, progress=options.get("callback"))

    def put(
        self,
        lpath: Any,
        rpath: Any,
        recursive: bool = False,  # noqa: FBT001, FBT002 - fsspec's
        callback: Any = DEFAULT_CALLBACK,
        maxdepth: int | None = None,
        **options: Any,
    ) -> None:
        """A whole tree is one transfer: finished as far as it can be, resumable, and told in one report."""
        here = fsspec.utils.stringify_path(lpath)
        literal = trees.is_pattern(here) and os.path.lexists(here)
        if literal and isinstance(rpath, str) and not os.path.isdir(here):  # in lists, nothing is a pattern
            lpath, rpath = [here], [trees.inside(here, rpath, exists=self.isdir(rpath))]
        whole = trees.is_whole(here, rpath, recursive=recursive, maxdepth=maxdepth, literal=literal)
        if not whole or not os.path.isdir(here):
            super().put(lpath, rpath, recursive=recursive, callback=callback, maxdepth=maxdepth, **options)
            return
        there = trees.inside(here, rpath, exists=self.isdir(rpath))
        self.adapter.put(Path(here), self._address(there), recursive=True, progress=trees.FilesCounted(callback))

    def get(
        self,
        rpath: Any,
        lpath: Any,
        recursive: bool = False,  # noqa: FBT001, FBT002 - fsspec's
        callback: Any = DEFAULT_CALLBACK,
        maxdepth: int | None = None,
        **options: Any,
    ) -> None:
        """See `put`."""
        here = fsspec.utils.stringify_path(lpath)
        literal = trees.is_pattern(rpath) and self.exists(rpath)
        if literal and not recursive and isinstance(here, str) and not self.isdir(rpath):
            rpath, lpath = [rpath], [trees.inside(rpath, here, exists=os.path.isdir(here))]
        if not trees.is_whole(rpath, here, recursive=recursive, maxdepth=maxdepth, literal=literal):
            super().get(rpath, lpath, recursive=recursive, callback=callback, maxdepth=maxdepth, **options)
            return
        here = trees.inside(rpath, here, exists=os.path.isdir(here))
        self.adapter.get(self._address(rpath), Path(here), recursive=True, progress=trees.FilesCounted(callback))

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        if not self.isdir(path1):
            self.adapter.copy(self._address(path1), self._address(path2))

    def mv(self, path1: str, path2: str, recursive: bool = False, **_: Any) -> None:  # noqa: FBT001, FBT002 - fsspec's
        self.adapter.move(self._address(path1), self._address(path2), recursive=recursive)

    def rm_file(self, path: str) -> None:
        self.adapter.delete(self._address(path))

    def rm(self, path: str | Iterable[str], recursive: bool = False, **_: Any) -> None:  # noqa: FBT001, FBT002 - fsspec's
        for one in [path] if isinstance(path, str) else path:
            self.adapter.delete(self._address(one), recursive=recursive)

    def rmdir(self, path: str) -> None:
        place = self.adapter._place(self._address(path))
        place.store.delete_folder(place.key)

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:  # noqa: FBT001, FBT002 - fsspec's
        """Nothing to do: folders appear with the objects in them."""

    def makedirs(self, path: str, exist_ok: bool = False) -> None:  # noqa: FBT001, FBT002 - fsspec's
        """Nothing to do: folders appear with the objects in them."""

    def created(self, path: str) -> datetime:
        return self.modified(path)

    def modified(self, path: str) -> datetime:
        found = self.adapter.info(self._address(path)).modified
        if found is None:
            raise ObjectNotFoundError("the store does not say when it was modified", operation="info", url=self._address(path))
        return found

    def sign(self, path: str, expiration: int = 100, **_: Any) -> str:
        return self.adapter.sign(self._address(path), expiration)

    def invalidate_cache(self, path: str | None = None) -> None:
        """Nothing is cached."""


def _options_of(protocol: str, url: str, given: dict[str, Any], profile: str | None) -> dict[str, Any]:
    """What the wrapped filesystem is made with: all sources together, secrets looked up.

    Raises:
        InvalidOptionError: The driver does not know an option, or a secret is not where its reference says.
    """
    if "target_protocol" in given or "fo" in given:  # a chain: its other links are options of this one
        driver_class(protocol)
        return resolved(given)
    place = parse(url if url.startswith(f"{protocol}://") else f"{protocol}://")
    options = options_at(place, [OptionSource(KEYWORD, given)], profile)
    require_known(driver_class(protocol), protocol, options, driver_class)
    return Supply(options).take()
