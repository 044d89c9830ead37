"""Older flytekit, the one with ``DataPersistencePlugins``: our class in the place of its own ones.

flytekit makes an instance for nearly every call, so making one costs nothing:
stores and connections belong to the process. Importing this needs no flytekit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import Any, Final, TypeVar

import fsspec
from fsspec.registry import available_protocols, known_implementations, registry

from persistence_fsspec.addresses import Address, Place
from persistence_fsspec.config import canonical, sharing
from persistence_fsspec.dotted import dotted
from persistence_fsspec.errors import NotAFolderError, PermissionDeniedError, PersistenceError
from persistence_fsspec.events import emit
from persistence_fsspec.faces.flyte import frames_legacy, logins
from persistence_fsspec.location import is_url, local_path, parse
from persistence_fsspec.overrides import Override, chosen
from persistence_fsspec.persistence import FSSpecPersistence
from persistence_fsspec.policy import Policy
from persistence_fsspec.registry import DataPersistencePlugins
from persistence_fsspec.rooted import Rooted
from persistence_fsspec.sensitive import check_portable, literal_secrets, resolved
from persistence_fsspec.stores.opening import install_command

T = TypeVar("T")

_AS_NOBODY: Final[Mapping[str, Mapping[str, Any]]] = {"s3": {"anon": True}, "gs": {"token": "anon"}, "abfs": {"anon": True}}
"""By protocol, the options that ask for what everybody may read."""

_CREDENTIALS: Final = frozenset(
    {
        *("key", "secret", "token", "session", "profile"),
        *("account_key", "sas_token", "connection_string", "credential", "client_id", "client_secret", "tenant_id"),
    }
)
"""Options that say who asks."""

_MOST_ATTEMPTS: Final = 100

_WHY: Final = "one class with the same promises for every protocol: whole files or none, verified, repeated, all names"

_WRITTEN_BY_THEIRS: Final = frozenset({"http://", "https://"})
# flytekit sends code and inputs to signed URLs, each of which takes one PUT; a web server is no store that we could write to.
_replaced: dict[str, Any] = {}


class FlytePersistence(FSSpecPersistence):
    """`FSSpecPersistence` with the constructor and the habits that flytekit up to 1.4 expects.

    A plain string is a local path wherever it stands: there are no keys here. What `DataConfig` says of S3 are options
    of ``s3://``; where none is given, flytekit's own configuration and ``FLYTE_AWS_*`` are asked, by the first call for ``s3://``.

    Args:
        default_prefix: flytekit's raw output prefix: where `construct_path` begins. A password in it stays in this process.
        data_config: A ``flytekit.configuration.DataConfig``, or something with its ``s3``.
        more: As for `FSSpecPersistence`; ``storage_options`` come before *data_config*.

    Examples:
        >>> p = FlytePersistence(default_prefix="memory://raw")
        >>> p.construct_path(False, True, "0af3", "model.bin")
        'memory://raw/0af3/model.bin'
    """

    _exclusive = False  # several processes of one task may store or fetch the same at once

    def __init__(self, default_prefix: str | None = None, data_config: Any = None, **more: Any) -> None:
        super().__init__(default_prefix or "/", **more)
        self._default_prefix = self._default_prefix if default_prefix else None
        self._own_policy = more.get("policy") is not None
        self._data_config, self._as_nobody = data_config, False
        if self._prefix.userinfo:
            logins.remember(self._prefix)

    def __getstate__(self) -> dict[str, Any]:
        said = _options_of(self._data_config)
        check_portable(repr(self), [f"data_config.{name}" for name in literal_secrets(said)])
        return super().__getstate__()

    # --- flytekit's five operations ---

    def exists(self, path: Address) -> bool:
        """Whether something is stored there. S3, Google's and Azure's stores are asked without credentials if these are refused.

        Raises:
            PersistenceError: It cannot be known; of two refusals, the first.
        """
        return self._asked(path, lambda p: FSSpecPersistence.exists(p, path))

    def get(self, from_path: Address, to_path: Address, recursive: bool = False, **options: Any) -> Any:  # noqa: FBT001, FBT002
        """As `FSSpecPersistence.get`; what is refused, as `exists` does."""
        options = _as_the_disk(from_path, recursive, options)
        return self._asked(from_path, lambda p: FSSpecPersistence.get(p, from_path, to_path, recursive, **options))

    def put(self, from_path: Address, to_path: Address, recursive: bool = False, **options: Any) -> Any:  # noqa: FBT001, FBT002
        """As `FSSpecPersistence.put`; but what goes to ``http://`` and ``https://`` is sent by flytekit's own class.

        Raises:
            NotAFolderError: *recursive*, and a single file: a ``FlyteDirectory`` that is none.
        """
        theirs = _replaced.get(f"{self.get_protocol(str(to_path))}://")
        if theirs is not None:
            return theirs(data_config=self._data_config).put(str(from_path), str(to_path), recursive)
        if recursive:
            _refuse_file(self._local_place(from_path))
        return super().put(from_path, to_path, recursive, **_as_the_disk(to_path, recursive, options))

    def listdir(self, path: Address = "", recursive: bool = False) -> Iterator[str]:  # noqa: FBT001, FBT002
        """List a folder.

        Returns:
            The bare names in it; with *recursive* the URLs, or local paths, of all files below.
        """
        return self._asked(path, lambda p: p._listed(path, recursive=recursive))

    def construct_path(self, add_protocol: bool, add_prefix: bool, *paths: str) -> str:  # noqa: FBT001
        """Join names below the default prefix, if there is one; the protocol stands there once.

        Without *add_protocol*, a local path has none: flytekit opens it as it stands there.
        """
        joined = super().construct_path(add_protocol, add_prefix and self.default_prefix is not None, *paths)
        return joined if add_protocol else joined.removeprefix("file://")

    def _listed(self, path: Address, *, recursive: bool) -> Iterator[str]:
        foreign = self._foreign(path)
        if foreign is not None:
            found: Iterator[str] = iter(foreign.listdir(str(path), recursive))
            return found
        place = self._place(path)
        if not recursive:
            entries = self._primed(place, place.store.children(place.key), path)
            return (entry.key.rpartition("/")[2] for entry in entries)
        entries = self._primed(place, place.store.find(place.key), path)
        if canonical(place.location.protocol) == "file":
            return (str(local_path(entry.key)) for entry in entries)
        return (place.name_of(entry.key) for entry in entries)

    # --- where, and with which options ---

    def _place(self, address: Address) -> Place:
        plain = isinstance(address, str) and not is_url(address)
        return self._local_place(address) if plain else super()._place(address)

    def _owner(self, url: str) -> Rooted:
        """The persistence that knows what flytekit says of this store."""
        owner = super()._owner(url)
        if owner is not self:
            return owner
        twin, location = copy(self), parse(url)
        if not self._own_policy and sharing(location.protocol) == "s3":
            twin._policy = _policy(self._policy, self._configuration())
        if not location.userinfo and (known := logins.completed(location)).userinfo:
            twin._prefix = known
        return twin

    def options_for(self, url: str) -> Mapping[str, Any]:
        """What the constructor and `DataConfig` say of a URL."""
        protocol = sharing(DataPersistencePlugins.get_protocol(url))
        found = dict(super().options_for(url))
        if protocol == "s3":
            found = {**_options_of(self._configuration())["s3"], **found}
        if self._as_nobody and protocol in _AS_NOBODY:
            found = {name: value for name, value in found.items() if name not in _CREDENTIALS}
            found.update(_AS_NOBODY[protocol])
        return found

    def _configuration(self) -> Any:
        """What flytekit was told about data; None where there is no flytekit."""
        if self._data_config is not None:
            return self._data_config
        try:
            from flytekit.configuration import DataConfig
        except ImportError:
            return None
        return DataConfig.auto()

    # --- what everybody may read ---

    def _asked(self, address: Address, ask: Callable[[FlytePersistence], T]) -> T:
        """Ask as who we are, and if that is refused, as nobody; of two failures the first is raised."""
        try:
            return ask(self)
        except PermissionDeniedError as exc:
            first = exc
        twin = self._nobody(address)
        if twin is not None:
            try:
                answer = ask(twin)
                emit("anonymous", f"{first.url}: our credentials were refused, and none were needed", url=first.url)
                return answer
            except PersistenceError as exc:
                first.hint = "\n".join(part for part in (first.hint, f"Without credentials: {exc.message}") if part)
        raise first

    def _nobody(self, address: Address) -> FlytePersistence | None:
        """This persistence without credentials, for stores that know such a thing."""
        if not isinstance(address, str) or not is_url(address):
            return None
        twin = copy(self)
        twin._as_nobody = True
        protocol = sharing(DataPersistencePlugins.get_protocol(address))
        if protocol not in _AS_NOBODY or twin.options_for(address) == self.options_for(address):
            return None
        return twin

    # --- what the fsspec plugin of flytekit had beyond these ---

    @staticmethod
    def get_protocol(path: str | None = None) -> str:
        """The protocol of a URL or path; a chain has that of its first link."""
        return DataPersistencePlugins.get_protocol(path or "")

    def get_filesystem(self, path: str) -> Any:
        """The fsspec driver behind a URL or path, with all that is said of it; what it does has none of our promises."""
        if not is_url(path) or self.get_protocol(path) == "file":
            return fsspec.filesystem("file", auto_mkdir=True)
        location = parse(path)
        options = self._owner(path)._addresses.options(location).values
        return fsspec.filesystem(location.protocol, **resolved(options))

    def get_anonymous_filesystem(self, path: str) -> Any:
        """As `get_filesystem`, without credentials; None where that means nothing."""
        twin = self._nobody(path)
        return None if twin is None else twin.get_filesystem(path)

    @staticmethod
    def recursive_paths(f: str, t: str) -> tuple[str, str]:
        """The pattern and the folder with which fsspec copies the contents of one folder into another.

        Examples:
            >>> FlytePersistence.recursive_paths("/a", "/b")
            ('/a/*', '/b/')
        """
        return f if f.endswith("*") else os.path.join(f, "*"), f"{t.rstrip('/')}/"


def _as_the_disk(there: Address, recursive: bool, options: dict[str, Any]) -> dict[str, Any]:  # noqa: FBT001
    """From folder to folder of this machine, flytekit keeps the modes of files: programs stay programs."""
    here = not is_url(str(there)) or DataPersistencePlugins.get_protocol(str(there)) == "file"
    return {"preserve": ("mode", "mtime"), **options} if recursive and here else options


def _refuse_file(source: Place) -> None:
    if os.path.isfile(path := local_path(source.key)):
        raise NotAFolderError(f"{str(path)!r} is a file, and a folder was to be stored", operation="put", url=source.url)


def _options_of(configuration: Any) -> dict[str, dict[str, Any]]:
    """What a ``DataConfig`` says, as options of drivers, by protocol; it says nothing of others than S3 that they could use."""
    s3 = getattr(configuration, "s3", None)
    names = {"access_key_id": "key", "secret_access_key": "secret", "endpoint": "endpoint_url"}
    found = {ours: getattr(s3, theirs, None) for theirs, ours in names.items()}
    return {"s3": {name: value for name, value in found.items() if value}}


def _policy(policy: Policy, configuration: Any) -> Policy:
    """How often to try, if flytekit was told anything else about it than it says by itself."""
    s3: Any = getattr(configuration, "s3", None)
    changed: dict[str, Any] = {}
    if _told(s3, "retries"):
        changed["attempts"] = max(1, min(_MOST_ATTEMPTS, int(s3.retries) + 1))  # flytekit 1.0 leaves a variable's text as it is
    if _told(s3, "backoff"):
        seconds = s3.backoff.total_seconds()
        changed.update(backoff_seconds=seconds, backoff_max_seconds=max(seconds, policy.backoff_max_seconds))
    return replace(policy, **changed) if changed else policy


def _told(s3: Any, name: str) -> bool:
    return getattr(s3, name, None) not in (None, getattr(type(s3), name, None))


def override(framework: str) -> Iterator[Override]:
    """Register `FlytePersistence` for every protocol that the environment leaves to us, one after the other.

    Args:
        framework: Name and version, for the records.

    Yields:
        What was replaced, each as soon as it is.

    Raises:
        ImportError: There is no flytekit here, or none of this generation.
    """
    from flytekit.core.data_persistence import DataPersistencePlugins as Plugins

    protocols = chosen(sorted({*available_protocols(), "file"}))
    for protocol in protocols:
        keys = [f"{protocol}://", *(["/"] if protocol == "file" else [])]
        if keys[0] in Plugins._PLUGINS and not _has_driver(protocol):
            missing = f"{protocol}:// stays with flytekit's own class, because the driver is not installed"
            emit("override_skipped", f"{missing}: {install_command(protocol)}", protocol=protocol)
        elif any(Plugins._PLUGINS.get(key) is not FlytePersistence for key in keys):
            yield _registered(Plugins, keys, framework, protocol)
    yield from frames_legacy.override(framework, protocols)


def _has_driver(protocol: str) -> bool:
    """Whether the package that speaks it is there; it is not imported. Where flytekit has none itself, the missing one is told."""
    if protocol in registry:
        return True
    cls = known_implementations.get(protocol, {}).get("class", "")
    package = "aiohttp" if sharing(protocol) in {"http", "https"} else cls.partition(".")[0]
    return bool(package) and find_spec(package) is not None


def _registered(plugins: Any, keys: Sequence[str], framework: str, protocol: str) -> Override:
    """Put our class under the keys of one protocol; the registry keeps its order."""
    classes: dict[str, Any] = plugins._PLUGINS
    before = {key: classes.get(key) for key in keys}
    for key in keys:
        plugins.register_plugin(key, FlytePersistence, force=True)
    _replaced.update({key: cls for key, cls in before.items() if key in _WRITTEN_BY_THEIRS and cls is not None})
    return Override(
        framework=framework,
        protocol=protocol,
        before=_named(before[keys[0]]),
        ours=dotted(FlytePersistence),
        why=_WHY,
        look=lambda: _named(classes.get(keys[0])),
        restore=partial(_restore, classes, before),
    )


def _named(cls: Any) -> str:
    return "" if cls is None else dotted(cls)


def _restore(classes: dict[str, Any], before: Mapping[str, Any]) -> None:
    for key, cls in before.items():
        _replaced.pop(key, None)
        if classes.get(key) is not FlytePersistence:
            continue
        if cls is None:
            del classes[key]
        else:
            classes[key] = cls
