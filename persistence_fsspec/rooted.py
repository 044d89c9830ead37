"""What every part of the adapter stands on: its prefix, its options, and the way from an address to a place."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from persistence_fsspec import config
from persistence_fsspec.addresses import Address, Addresses, Place, refuse_missing_slash
from persistence_fsspec.addresses import default_prefix as place_of_keys
from persistence_fsspec.errors import (
    InvalidNameError,
    InvalidOptionError,
    ObjectNotFoundError,
    PersistenceError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.location import is_local_path, is_url, local, parse, url_and_options
from persistence_fsspec.policy import Policy
from persistence_fsspec.redaction import redact, redact_places
from persistence_fsspec.registry import DataPersistence, DataPersistencePlugins
from persistence_fsspec.sensitive import check_portable, filesystem_secrets, option_secrets, rebuilt
from persistence_fsspec.store import ObjectInfo, Store

EMBEDDED: Final = ".persistence"
"""Folder of the embedded default, in the working folder."""


class Rooted(DataPersistence):
    """A default prefix with options and a policy; knows which store an address belongs to."""

    def __init__(
        self,
        default_prefix: Address | None = None,
        *,
        storage_options: config.StorageOptions = None,
        profile: str | None = None,
        policy: Policy | None = None,
        filesystem: Any = None,
        name: str = "fsspec",
    ) -> None:
        taken = url_and_options(default_prefix)
        if taken:
            default_prefix, upath_options = taken
            if storage_options is None and upath_options:
                storage_options = upath_options
        self._lazy_folder = Path.cwd() / EMBEDDED if default_prefix is None and filesystem is None else None
        self._prefix = place_of_keys(self._lazy_folder / "data" if self._lazy_folder else default_prefix, filesystem)
        given = None if default_prefix is None else str(default_prefix)
        super().__init__(name=name, default_prefix=self._prefix.url if self._prefix.userinfo else given)
        config.check_options(storage_options, None if self._lazy_folder else self._prefix.protocol)
        self._storage_options, self._profile, self._answers = storage_options, profile, config.Answers()
        if not isinstance(policy, Policy | None):
            raise InvalidOptionError(f"policy must be a Policy, not {type(policy).__name__}")
        self._policy, self._filesystem = policy or Policy(), filesystem

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._prefix)!r})"

    # --- from process to process ---

    def __getstate__(self) -> dict[str, Any]:
        """What a pickle takes along; references to secrets, never secrets.

        Raises:
            SecretPicklingError: It holds secrets themselves. The message names the options, and says what to do.
        """
        in_url = redact_places(self._prefix.url) != self._prefix.url or bool(self._prefix.userinfo)
        names = [*(["default_prefix"] if in_url else []), *option_secrets(self._storage_options)]
        names += [f"filesystem.{name}" for name in filesystem_secrets(self._filesystem)]
        check_portable(repr(self), names)
        return dict(self.__dict__)

    def __copy__(self) -> Any:  # its own class; typing.Self is younger than we can ask for
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Inside of one process secrets may be copied; connections and credential objects are shared."""
        twin = self.__copy__()
        if isinstance(self._storage_options, Mapping):
            twin._storage_options = rebuilt(self._storage_options)
        memo[id(self)] = twin
        return twin

    # --- override points ---

    def options_for(self, url: str) -> Mapping[str, Any]:
        """What the caller says of a URL; a subclass may compute it. Above all other sources, which `config` lists.

        Args:
            url: The root of a store, without credentials.
        """
        protocol = DataPersistencePlugins.get_protocol(url)

        def said(url: str) -> Mapping[str, Any]:
            return config.resolve_options(self._storage_options, url, protocol, self._prefix.protocol)

        return self._answers.of(said, url) if callable(self._storage_options) else said(url)

    def wrap(self, store: Store) -> Store:
        """Put layers around a store; a subclass may add its own."""
        return store

    # --- from an address to a place ---

    def store_and_key(self, path: Address = "") -> tuple[Store, str]:
        """The `Store` behind an address, and the key there: what layers and the conformance kit work on."""
        place = self._place(path)
        return place.store, place.key

    @property
    def _addresses(self) -> Addresses:
        return Addresses(
            prefix=self._prefix,
            policy=self._policy,
            options_for=self.options_for,
            profile=self._profile,
            answers=self._answers,
            wrap=self.wrap,
            filesystem=self._filesystem,
            lazy_folder=self._lazy_folder,
        )

    def _place(self, address: Address) -> Place:
        if isinstance(address, ObjectInfo):
            raise TypeError("an ObjectInfo is no address; its key is, and version= takes the version that it describes")
        taken = url_and_options(address)
        if taken:
            url, options = taken
            return self._addresses.at(parse(url) if is_url(url) else local(url), options)
        if isinstance(address, os.PathLike) or is_local_path(address):
            return self._addresses.at(local(address))
        if is_url(address):
            return self._owner(address)._addresses.at(parse(address))
        return self._addresses.below(address)

    def _local_place(self, address: Address) -> Place:
        """A plain string is a local path here: the source of `put`, the target of `get`."""
        if isinstance(address, str) and not is_url(address):
            refuse_missing_slash(address)
            return self._addresses.at(local(address))
        place = self._place(address)
        if place.location.protocol != "file":
            raise InvalidNameError(
                f"{place.url} is not on this machine",
                hint="put() and get() move between this machine and a store; use copy().",
            )
        return place

    # --- other classes in the registry ---

    def _owner(self, url: str) -> Rooted:
        """Another class of ours registered for this protocol speaks for it."""
        found = self._registered(url)
        if found is None:
            return self
        if not issubclass(found, Rooted):
            raise UnsupportedPersistenceOp(
                f"{found.__name__} serves this protocol, and only has Flyte's five operations", url=redact(url)
            )
        owner: Rooted = _instance(found)
        return owner

    def _foreign(self, address: Address) -> Any:
        """An instance of a registered class that knows only the five operations; None when the protocol is ours."""
        if not isinstance(address, str) or not is_url(address):
            return None
        found = self._registered(address)
        return None if found is None or issubclass(found, Rooted) else _instance(found)

    def _registered(self, url: str) -> type[Any] | None:
        if self._addresses.serves(DataPersistencePlugins.get_protocol(url)):
            return None
        found = DataPersistencePlugins.find_plugin(url)
        return None if isinstance(self, found) else found

    # --- helpful errors ---

    @contextlib.contextmanager
    def _helpful(self, address: Address, operation: str) -> Iterator[None]:
        """Errors name what the caller asked for; a missing key whose local twin exists says so."""
        try:
            yield
        except PersistenceError as exc:
            if exc.operation in {"", "info"}:
                exc.operation = operation
            plain = isinstance(address, str) and address and not is_url(address) and not is_local_path(address)
            if isinstance(exc, ObjectNotFoundError) and plain and not exc.hint and os.path.exists(address):
                exc.hint = (
                    f"A local file {str(address)!r} exists; a plain name is a key below {self._prefix}. "
                    f"For the file, say pathlib.Path({str(address)!r})."
                )
            raise


_instances: dict[type[Any], Any] = {}


def _instance(cls: type[Any]) -> Any:
    if cls not in _instances:
        _instances[cls] = cls()
    return _instances[cls]
