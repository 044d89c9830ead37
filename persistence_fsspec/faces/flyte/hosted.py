"""URLs with a host in them (ftp, sftp, smb ...), which flytekit from 1.5 on cannot use: it makes filesystems without the host.

So it is given ones that know it, and move files with our promises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from fsspec.registry import known_implementations, registry

from persistence_fsspec.dotted import dotted
from persistence_fsspec.faces.flyte import logins
from persistence_fsspec.faces.flyte.together import TogetherPersistence
from persistence_fsspec.faces.flyte.wrapping import Wrapped
from persistence_fsspec.faces.fsspec import PersistFileSystem
from persistence_fsspec.location import Location, parse
from persistence_fsspec.overrides import Override, chosen

_PROTOCOLS: Final = ("ftp", "sftp", "ssh", "smb", "webdav", "dav", "hdfs", "webhdfs")
_PACKAGES: Final = frozenset({"fsspec", "hdfs_native", "pyarrow", "sshfs", "webdav4"})
"""Whose drivers for these we know. A class of another package is somebody's own: they chose it."""


class HostedFileSystem(PersistFileSystem):
    """One host's files, by paths as fsspec's drivers of such protocols have them: ``/folder/file``.

    Args:
        url: Anything on that host; may hold a user and a password. Without a password, the one that the prefix of raw
            outputs brought for the same user and host is taken, see `logins`.
        options: fsspec's own.
    """

    def __init__(self, url: str, **options: Any) -> None:
        place = logins.completed(parse(url))
        self._root = place.root
        super().__init__(adapter=TogetherPersistence(_with_password(place)), **options)
        self.protocol = (place.protocol,)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.unstrip_protocol('')!r})"

    __str__ = __repr__

    def _check_portable(self) -> None:
        self.adapter.__getstate__()
        super()._check_portable()

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


def _with_password(place: Location) -> str:
    """The URL of a host, for somebody who is to ask it: without a name, ``hdfs:///`` is the host of its configuration."""
    protocol, _, authority = place.root.partition("://")
    host = authority.rpartition("@")[2]
    return f"{protocol}://{place.userinfo}@{host}/" if place.userinfo else f"{place.root}/"


def override(framework: str) -> Iterator[Override]:
    """Let flytekit's ``FileAccessProvider`` give out `HostedFileSystem` for the protocols that need it.

    Args:
        framework: For the records.
    """
    from flytekit.core.data_persistence import FileAccessProvider

    drivers = {protocol: _driver(protocol) for protocol in sorted(chosen(_PROTOCOLS))}
    drivers = {protocol: driver for protocol, driver in drivers.items() if driver.partition(".")[0] in _PACKAGES}
    if not drivers:
        return
    protocols = frozenset(drivers)
    wrapped = Wrapped(
        FileAccessProvider,
        {
            "__init__": partial(_knowing_its_prefix, protocols),
            "get_filesystem": partial(_hosting, protocols),
            # Up to 1.13 that one does not hand the path on.
            "get_filesystem_for_path": partial(_hosting_paths, protocols),
        },
    )
    ours = dotted(HostedFileSystem)

    def look(driver: str) -> str:
        return ours if wrapped.on else driver

    for protocol, driver in drivers.items():
        yield Override(
            framework=framework,
            protocol=protocol,
            before=driver,
            ours=ours,
            why="flytekit asks for that one without the host of the URL",
            look=partial(look, driver),
            restore=wrapped.restore,
        )


def _driver(protocol: str) -> str:
    """The dotted name of the class that fsspec has for a protocol; empty where it has none."""
    return dotted(registry.get(protocol) or known_implementations.get(protocol, {}).get("class", ""))


def _knowing_its_prefix(protocols: frozenset[str], original: Callable[..., None]) -> Callable[..., None]:
    def init(self: Any, local_sandbox_dir: Any, raw_output_prefix: Any, *args: Any, **options: Any) -> None:
        if str(raw_output_prefix).partition("://")[0] in protocols:
            place = parse(str(raw_output_prefix))
            if place.userinfo:
                logins.remember(place)
                raw_output_prefix = place.url  # no name that it makes of that holds the password
        self._raw_output_prefix = str(raw_output_prefix)  # of which it makes a filesystem, before it keeps it
        original(self, local_sandbox_dir, raw_output_prefix, *args, **options)

    return init


def _hosting(protocols: frozenset[str], original: Callable[..., Any]) -> Callable[..., Any]:
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


def _hosting_paths(protocols: frozenset[str], original: Callable[..., Any]) -> Callable[..., Any]:
    def get_filesystem_for_path(self: Any, path: str = "", *args: Any, **options: Any) -> Any:
        if path.partition("://")[0] in protocols:
            return _filesystem(path, options)
        return original(self, path, *args, **options)

    return get_filesystem_for_path


def _filesystem(url: str, options: dict[str, Any]) -> HostedFileSystem:
    return HostedFileSystem(url, **{name: value for name, value in options.items() if name not in {"anonymous", "path"}})
