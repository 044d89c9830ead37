"""URLs with a host in them (ftp, sftp, smb ...), which flytekit from 1.5 on cannot use: it makes filesystems without the host.

So it is given ones that know it, and move files with our promises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial, wraps
from typing import Any, Final

from fsspec.registry import known_implementations, registry

from persistence_fsspec.faces.fsspec import PersistFileSystem
from persistence_fsspec.location import parse
from persistence_fsspec.overrides import Override, chosen, dotted
from persistence_fsspec.persistence import FSSpecPersistence

_PROTOCOLS: Final = ("ftp", "sftp", "ssh", "smb", "webdav", "dav", "hdfs", "webhdfs")


class HostedFileSystem(PersistFileSystem):
    """One host's files, by paths as fsspec's drivers of such protocols have them: ``/folder/file``.

    Args:
        url: Anything on that host; may hold a user and a password.
        options: fsspec's own.
    """

    def __init__(self, url: str, **options: Any) -> None:
        place = parse(url)
        login, at, _ = url.partition("://")[2].partition("/")[0].rpartition("@")
        self._root = str(place.with_key("")).rstrip("/")
        host = self._root.partition("://")[2].rpartition("@")[2]
        super().__init__(adapter=FSSpecPersistence(f"{place.protocol}://{login}{at}{host}/"), **options)
        self.protocol = (place.protocol,)

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        key = parse(path).key if "://" in path else path
        return f"/{key.strip('/')}" if key.strip("/") else ""

    def _address(self, path: str) -> str:
        return self.unstrip_protocol(path)

    def _name(self, key: str) -> str:
        return str(self._strip_protocol(key))

    def unstrip_protocol(self, name: str) -> str:
        """The URL of a path, without a password."""
        return f"{self._root}{self._strip_protocol(name) or '/'}"


def override(framework: str) -> Iterator[Override]:
    """Let flytekit's ``FileAccessProvider`` give out `HostedFileSystem` for the protocols that need it.

    Args:
        framework: For the records.
    """
    from flytekit.core.data_persistence import FileAccessProvider

    protocols = frozenset(chosen(_PROTOCOLS))
    if not protocols:
        return
    before = {name: getattr(FileAccessProvider, name) for name in ("__init__", "get_filesystem", "get_filesystem_for_path")}
    after = {
        "__init__": _knowing_its_prefix(before["__init__"]),
        "get_filesystem": _hosting(before["get_filesystem"], protocols),
        # Up to 1.13 that one does not hand the path on.
        "get_filesystem_for_path": _hosting_paths(before["get_filesystem_for_path"], protocols),
    }
    for name, method in after.items():
        setattr(FileAccessProvider, name, method)
    ours = dotted(HostedFileSystem)

    def restore() -> None:
        for name, method in before.items():
            setattr(FileAccessProvider, name, method)

    def look(driver: str) -> str:
        return ours if FileAccessProvider.get_filesystem is after["get_filesystem"] else driver

    for protocol in sorted(protocols):
        driver = dotted(registry.get(protocol) or known_implementations.get(protocol, {}).get("class", ""))
        yield Override(
            framework=framework,
            protocol=protocol,
            before=driver,
            ours=ours,
            why="flytekit asks for that one without the host of the URL",
            look=partial(look, driver),
            restore=restore,
        )


def _knowing_its_prefix(original: Callable[..., None]) -> Callable[..., None]:
    @wraps(original)
    def init(self: Any, local_sandbox_dir: Any, raw_output_prefix: str, *args: Any, **options: Any) -> None:
        self._raw_output_prefix = str(raw_output_prefix)  # of which it makes a filesystem, before it keeps it
        original(self, local_sandbox_dir, raw_output_prefix, *args, **options)

    return init


def _hosting(original: Callable[..., Any], protocols: frozenset[str]) -> Callable[..., Any]:
    @wraps(original)
    def get_filesystem(self: Any, protocol: str | None = None, *args: Any, **options: Any) -> Any:
        url = options.get("path") or self._raw_output_prefix
        if protocol not in protocols:
            return original(self, protocol, *args, **options)
        if options.get("anonymous") and not options.get("path"):
            return None  # nobody knows of which host; flytekit then raises what it met before
        if url.startswith(f"{protocol}://"):
            return _filesystem(url, options)
        return original(self, protocol, *args, **options)

    return get_filesystem


def _hosting_paths(original: Callable[..., Any], protocols: frozenset[str]) -> Callable[..., Any]:
    @wraps(original)
    def get_filesystem_for_path(self: Any, path: str = "", *args: Any, **options: Any) -> Any:
        if path.partition("://")[0] in protocols:
            return _filesystem(path, options)
        return original(self, path, *args, **options)

    return get_filesystem_for_path


def _filesystem(url: str, options: dict[str, Any]) -> HostedFileSystem:
    return HostedFileSystem(url, **{name: value for name, value in options.items() if name not in {"anonymous", "path"}})
