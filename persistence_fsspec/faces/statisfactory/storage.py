"""What every backend of ours does with bytes, with or without statisfactory: it hands them to `FSSpecPersistence`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import ParseResult

from persistence_fsspec import config
from persistence_fsspec.addresses import Address
from persistence_fsspec.errors import InvalidNameError, ObjectNotFoundError, PersistenceError, UnsupportedPersistenceOp
from persistence_fsspec.faces.statisfactory import fragments, lakefs
from persistence_fsspec.faces.statisfactory.failures import told
from persistence_fsspec.faces.statisfactory.settings import options_of, stacked, warn_of_misspelt
from persistence_fsspec.location import is_url, parse, through_link
from persistence_fsspec.persistence import FSSpecPersistence
from persistence_fsspec.policy import Policy
from persistence_fsspec.sensitive import check_portable, literal_secrets
from persistence_fsspec.stores.supply import Supply

NAME: Final = "FSSpecBackend"
"""Of every class that is made here, whatever its prefix."""

_ALWAYS: Final = {"lakefs": {"create_branch_ok": False}}
"""By protocol. The driver would ask for the branch before each write; we make it when it is missing."""


class SessionPersistence(FSSpecPersistence):
    """`FSSpecPersistence` that also knows what statisfactory's session says of stores.

    Args:
        settings: Options by protocol; the keyword ``storage_options`` comes before them, all else behind.
        more: As for `FSSpecPersistence`.
    """

    def __init__(self, settings: Mapping[str, Mapping[str, Any]], **more: Any) -> None:
        super().__init__("/", **more)
        self._settings = {**settings, **{name: {**_ALWAYS[name], **settings.get(name, {})} for name in _ALWAYS}}

    def __getstate__(self) -> dict[str, Any]:
        literal = [name for options in self._settings.values() for name in literal_secrets(options)]
        check_portable(repr(self), [f"settings.{name}" for name in literal])
        return super().__getstate__()

    def options_for(self, url: str) -> Mapping[str, Any]:
        """What the registration and the settings say of a URL, and of what stands behind it in a chain."""
        found = dict(super().options_for(url))
        first, *behind = [link for link, _ in config.chain(url)]
        found = stacked(found, self._settings, first)
        for link in behind:
            if options := stacked(found.get(link, {}), self._settings, link):
                found[link] = options
        return found

    def make_branch(self, url: str) -> None:
        """Make the branch of lakeFS that a URL lies on."""
        options = Supply(self._addresses.options(parse(url))).take()
        lakefs.make_branch(url, options, self._policy, self.exists)


@dataclass(eq=False, kw_only=True)
class Registration:
    """What was said when backends were registered; they share it. Never printed: it may hold secrets.

    Attributes:
        storage_options: As for `FSSpecPersistence`, nested by protocol, or a function.
        policy: As there.
        leading_slash: Keys of S3 begin with a slash, as statisfactory's own backend writes them.
    """

    storage_options: config.StorageOptions = field(default=None, repr=False)
    policy: Policy | None = None
    leading_slash: bool = False
    _known: dict[str, SessionPersistence] = field(default_factory=dict, init=False, repr=False)

    def changed(self, **said: Any) -> Registration:
        """A new one, where what is not None is said anew."""
        return replace(self, **{name: value for name, value in said.items() if value is not None})

    def persistence(self, session: Any) -> SessionPersistence:
        """The one for what a session says: backends come and go, and a function of the URL is not asked for each."""
        warn_of_misspelt(session)
        settings = options_of(session)
        key = repr(settings)
        found = self._known.get(key)
        if found is None:  # of two threads at once, the first decides: a lock could be held for ever in a forked child
            made = SessionPersistence(settings, storage_options=self.storage_options, policy=self.policy)
            found = self._known.setdefault(key, made)
        return found


class Storage:
    """Put and get of a backend. statisfactory makes one for each operation, so making one opens nothing."""

    registration: ClassVar[Registration]
    errors: ClassVar[Any] = None
    """statisfactory's ``Errors``; None where ours are raised as they are."""

    prefix: ClassVar[str]
    _session: Any

    def put(self, *, payload: Any, fragment: ParseResult, **context: Any) -> None:
        """Write an artifact whole: readers see the old one or the new one.

        Folders above it, its bucket, and on lakeFS its branch are made when they are missing.

        Args:
            payload: Bytes, or anything with the buffer protocol.
            fragment: The artifact's path, parsed.
            context: Options and the context of the craft. Only ``lake_ref`` is heard, and only on lakeFS.

        Raises:
            PersistenceError: Without statisfactory; with it E0290, E0293 or E065, whose ``__cause__`` is ours.
        """
        with told(self.errors, "E0290", backend=self._name):
            persistence, address = self._persistence(), self._address(fragment, context)
            data = payload if isinstance(payload, bytes) else memoryview(payload).tobytes()  # large ones are not held twice
            if isinstance(address, Path):
                address = through_link(address)
            try:
                persistence.write_bytes(address, data)
            except ObjectNotFoundError as exc:  # of what is being written, only what it lies in can be missing
                if not _made_room(persistence, str(address), exc):
                    raise
                persistence.write_bytes(address, data)

    def get(self, *, fragment: ParseResult, **context: Any) -> bytes:
        """Read an artifact.

        Args:
            fragment: The artifact's path, parsed.
            context: As for `put`.

        Raises:
            PersistenceError: Without statisfactory; with it E024 (no such local file), E0291 or E0293, whose ``__cause__`` is ours.
        """
        local = fragment.scheme in fragments.LOCAL
        details = {"backend": self._name, "path": fragments.url_of(fragment)}
        with told(self.errors, "E0291", missing="E024" if local else "", **details):
            persistence, address = self._persistence(), self._address(fragment, context)
            try:
                return persistence.read_bytes(address)
            except ObjectNotFoundError as exc:
                exc.hint = exc.hint or self._why_missing(persistence, fragment, str(address))
                raise

    @property
    def _name(self) -> str:
        """For messages."""
        return f"{NAME}({self.prefix!r})"

    def _persistence(self) -> SessionPersistence:
        return self.registration.persistence(self._session)

    def _address(self, fragment: ParseResult, context: Mapping[str, Any]) -> Address:
        if fragment.scheme in fragments.LOCAL:
            return fragments.local_path(fragment)
        url = fragments.url_of(fragment)
        if not is_url(url):
            raise InvalidNameError(
                f"{url!r} is no URL: two slashes are missing",
                hint=f"Write {fragment.scheme}://...; for a file of that name here, put ./ in front.",
            )
        if fragment.scheme == "lakefs":
            return lakefs.url_of(url, self._session, context.get("lake_ref"))
        if not self.registration.leading_slash:
            return url
        if not _is_s3(fragment.scheme) and any(_is_s3(link) for link, _ in config.chain(url)):
            raise InvalidNameError("leading_slash does not reach into a chain", url=url, hint="Name s3:// itself.")
        return fragments.slashed(url) if _is_s3(fragment.scheme) else url

    def _why_missing(self, persistence: SessionPersistence, fragment: ParseResult, url: str) -> str:
        """What else is or is not there: one request or two, made only when something is missing."""
        if fragment.scheme == "lakefs":
            return lakefs.absent(url, persistence.exists)
        return self._other(persistence, fragments.url_of(fragment)) if _is_s3(fragment.scheme) else ""

    def _other(self, persistence: SessionPersistence, plain: str) -> str:
        """Keys ``k`` and ``/k`` are two on S3, and statisfactory's own backend writes the latter: a hint, if only that is there."""
        slash = self.registration.leading_slash
        other = plain if slash else fragments.slashed(plain)
        try:
            persistence.read_bytes(other, start=0, end=1)  # one request
        except PersistenceError:
            return ""
        if slash:
            return "It is there without a slash in front of its key: register(leading_slash=False) reads it."
        return "It is there with a slash in front of its key, as statisfactory's own backend writes: register(leading_slash=True) reads it."


def _is_s3(protocol: str) -> bool:
    return config.canonical(protocol) == "s3"


def _made_room(persistence: SessionPersistence, url: str, missing: ObjectNotFoundError) -> bool:
    """Make the bucket or branch that an object lies in; tells whether trying again may help.

    Raises:
        PersistenceError: It cannot be made. The cause is *missing*, what the object's own write said.
    """
    try:
        if url.startswith("lakefs://"):
            persistence.make_branch(url)
        else:
            persistence.make_bucket(url)
    except UnsupportedPersistenceOp:
        return False
    except lakefs.BranchError:
        raise
    except PersistenceError as exc:
        exc.message = f"the bucket is not there, and could not be made: {exc.message}"
        raise exc from missing
    return True
