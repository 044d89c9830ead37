"""From what a caller writes to a place: a store, and a key in it.

One rule for all operations: a name with ``://`` (or a chain) is a URL; a
``PathLike``, ``/…``, ``~…`` and a drive letter are local; a ``UPath`` brings its
options; anything else is a key below the default prefix.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from persistence_fsspec import config
from persistence_fsspec.errors import InvalidNameError, IsAFolderError
from persistence_fsspec.foreign import translated
from persistence_fsspec.location import (
    Location,
    is_chain,
    is_local_path,
    is_url,
    local,
    local_path,
    may_lack_host,
    parse,
    tidy_key,
)
from persistence_fsspec.policy import Policy
from persistence_fsspec.redaction import redact
from persistence_fsspec.store import Store
from persistence_fsspec.stores.opening import open_store, options_at

_ONE_SLASH: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+):/(?!/)")

Address = str | os.PathLike[str]
"""A URL, a local path, a key under the default prefix, or a ``UPath``."""


@dataclass(frozen=True, slots=True)
class Place:
    """An address made concrete.

    Attributes:
        store: Where it is.
        location: As it was addressed; tells whether the address ended in a slash.
        key: In the store, tidy; empty for its root.
        prefix: Key of the default prefix when the address was a key below it. Then names are handed back as such keys.
    """

    store: Store
    location: Location
    key: str
    prefix: str | None

    @property
    def url(self) -> str:
        """Without credentials."""
        return self.store.url(self.key)

    @property
    def is_prefix(self) -> bool:
        """Whether it is the default prefix itself."""
        return self.prefix is not None and self.key == self.prefix

    @property
    def names_folder(self) -> bool:
        """A single file put here goes inside, under its own name."""
        if self.location.names_folder or not self.key or self.is_prefix:
            return True
        return self.location.protocol == "file" and os.path.isdir(local_path(self.key))  # Path.is_dir() raises at a long name

    def is_same(self, other: Place) -> bool:
        """Whether both name one object, as far as addresses tell; locally through links, too."""
        if self._is_local and other._is_local:
            return os.path.realpath(local_path(self.key)) == os.path.realpath(local_path(other.key))
        return self.key == other.key and (self.store is other.store or self._root == other._root)

    @property
    def _is_local(self) -> bool:
        return config.canonical(self.location.protocol) == "file"

    @property
    def _root(self) -> str:
        protocol, _, rest = self.location.root.partition("://")
        return f"{config.canonical(protocol)}://{rest.lower() if '::' not in rest else rest}"

    def exact(self, name: str) -> Place:
        """Where a single file of that name goes."""
        return self.inside(name) if self.names_folder else self

    def inside(self, name: str) -> Place:
        """The place of a name in this folder."""
        key = "/".join(part for part in (self.key, name) if part)
        return replace(self, key=key, location=self.location.with_key(key))

    def name_of(self, key: str) -> str:
        """What to hand back for a key: of the same kind as the address, and always readable again."""
        if self.prefix is not None:
            name = key[len(self.prefix) :].lstrip("/") if self.prefix else key
            if name and not is_url(name) and not is_local_path(name):
                return name
        return self.location.with_key(key).url

    def require_object(self) -> Place:
        """This place, when it can name an object.

        Raises:
            IsAFolderError: It is a prefix, a root, or ends in a slash.
        """
        if not self.key or self.is_prefix or self.location.names_folder:
            raise IsAFolderError("names a folder, not an object", operation="write", url=self.url)
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """How one persistence understands addresses.

    Attributes:
        prefix: Where keys lie.
        policy: Travels with the stores.
        options_for: What the caller says of a URL.
        profile: Of ``persistence.toml``.
        answers: What a function among the caller's options said, to be forgotten when credentials expire.
        wrap: Puts layers around a store.
        filesystem: A ready fsspec instance, used for its protocol.
        lazy_folder: The embedded default's folder, when the prefix lies in it.
    """

    prefix: Location
    policy: Policy
    options_for: Callable[[str], Mapping[str, Any]]
    wrap: Callable[[Store], Store]
    profile: str | None = None
    answers: config.Answers = field(default_factory=config.Answers)
    filesystem: Any = None
    lazy_folder: Path | None = None

    def below(self, name: str) -> Place:
        """A key below the prefix.

        Raises:
            InvalidNameError: It would leave the prefix.
        """
        store = self.open(self.prefix.child(name))
        flat = store.capabilities.flat
        with translated("", store.url(self.prefix.key)):
            base, key = tidy_key(self.prefix.key, flat=flat), tidy_key(name, flat=flat)
        full = "/".join(part for part in (base, key) if part)
        return Place(store, self.prefix.with_key(f"{full}/" if name.endswith("/") else full), full, base)

    def at(self, location: Location, options: Mapping[str, Any] | None = None) -> Place:
        """A place by itself.

        Raises:
            InvalidNameError: Its key would leave its root.
        """
        if is_chain(location.root) and "//" in f"/{location.key}":
            raise InvalidNameError("a chain takes '//' for '/', which may name another object", url=redact(location.url))
        store = self.open(location, options)
        return Place(store, location, tidy_key(location.key, flat=store.capabilities.flat), None)

    def open(self, location: Location, options: Mapping[str, Any] | None = None) -> Store:
        """The store at a location's root, with the options that hold at the location.

        Raises:
            InvalidNameError: It has no root.
        """
        location.require_bucket()
        location = self._with_login(location)
        in_prefix = location.root == self.prefix.root and f"{location.key}/".startswith(f"{self.prefix.key}/")
        lazy = self.lazy_folder if in_prefix else None
        if self.serves(location.protocol):
            return self.wrap(open_store(location, config.Options(), self.policy, filesystem=self.filesystem, lazy_folder=lazy))
        found = self.options(location, options)
        return self.wrap(
            open_store(location, found, self.policy, renew=partial(self._asked_again, location, options), lazy_folder=lazy)
        )

    def options(self, location: Location, options: Mapping[str, Any] | None = None) -> config.Options:
        """All that is said of a location, by the caller and everybody else.

        Args:
            location: Anywhere.
            options: What an address brought along; it comes first.
        """
        location = self._with_login(location)
        keyword = config.OptionSource(config.KEYWORD, self.options_for(str(location.with_key(""))))
        given = [*([config.OptionSource("the UPath", options)] if options else []), keyword]
        if self.filesystem is not None and self.profile is None and config.canonical(location.protocol) == "file":
            # Who brought the store along has nothing to configure; the files of this machine are only its other side.
            return config.merged(given)
        return options_at(location, given, self.profile)

    def _asked_again(self, location: Location, options: Mapping[str, Any] | None) -> config.Options:
        self.answers.forget(str(location.with_key("")))
        return self.options(location, options)

    def _with_login(self, location: Location) -> Location:
        if self.prefix.userinfo and not location.userinfo and self.prefix.root == location.root:
            return replace(location, userinfo=self.prefix.userinfo)  # names we handed out carry no password
        return location

    def serves(self, protocol: str) -> bool:
        """Whether the ready filesystem is for this protocol; one that names none is for the prefix's."""
        if self.filesystem is None:
            return False
        names = protocols_of(self.filesystem)
        if names == ("abstract",):
            names = (self.prefix.protocol,)
        return config.canonical(protocol) in {config.canonical(name) for name in names}


def default_prefix(address: Address | None, filesystem: Any) -> Location:
    """Where keys lie.

    Args:
        address: A plain name is a path in *filesystem* when there is one, else a local path.
        filesystem: A ready fsspec instance, or None; without one there is an address.
    """
    if isinstance(address, str) and is_url(address):
        return parse(address)
    if isinstance(address, str):
        refuse_missing_slash(address)
    if filesystem is not None and not isinstance(address, os.PathLike):
        protocol = protocols_of(filesystem)[0]
        return parse(f"{protocol}://{'/' if may_lack_host(protocol) else ''}{str(address or '').lstrip('/')}")
    return local(address or "")


def refuse_missing_slash(name: str) -> None:
    """A URL with one slash would be taken for a local folder, and data for it would stay on this machine unnoticed.

    Raises:
        InvalidNameError: It is such a name.
    """
    found = _ONE_SLASH.match(name)
    if found and config.is_protocol(found[1].lower()):
        raise InvalidNameError(
            f"{redact(name)!r} has one slash where a URL has two: {redact(f'{found[1]}://{name[found.end() :]}')}",
            hint="For a local folder of that name put ./ in front.",
        )


def protocols_of(filesystem: Any) -> tuple[str, ...]:
    """The protocols an fsspec instance speaks."""
    found = filesystem.protocol
    return (found,) if isinstance(found, str) else tuple(found)
