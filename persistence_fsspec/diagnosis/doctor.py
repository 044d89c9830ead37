"""Why a store does not work, and what to do: one check after the other, from the driver to a probe object."""

from __future__ import annotations

import contextlib
import copy
import itertools
import shlex
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from persistence_fsspec import secret
from persistence_fsspec.config import Options
from persistence_fsspec.diagnosis import hadoop, network
from persistence_fsspec.diagnosis.checks import CHECK_SECONDS, Check, ok, problem, skipped, warning, within
from persistence_fsspec.diagnosis.credentials import credentials
from persistence_fsspec.diagnosis.endpoints import Endpoint, endpoint_of
from persistence_fsspec.diagnosis.explain import located
from persistence_fsspec.diagnosis.versions import versions
from persistence_fsspec.errors import (
    AuthenticationError,
    InvalidOptionError,
    MissingDriverError,
    NotAFolderError,
    ObjectNotFoundError,
    OperationTimeoutError,
    PermissionDeniedError,
    PersistenceError,
    ServerFailedError,
    StoreError,
    UnknownProtocolError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.foreign import translate
from persistence_fsspec.location import Location
from persistence_fsspec.persistence import FSSpecPersistence
from persistence_fsspec.redaction import redact
from persistence_fsspec.rooted import Rooted
from persistence_fsspec.store import Store
from persistence_fsspec.stores.opening import driver_class
from persistence_fsspec.stores.quirks import driver_name

_SIGNED: Final = frozenset({"s3fs", "gcsfs", "adlfs"})
_OPERATION_SECONDS: Final = 8.0
_SECRET_MARGIN_SECONDS: Final = 2.0
"""The lookup has a deadline of its own, and its error says more than ours would."""

OnCheck = Callable[[Check], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What was found.

    Attributes:
        url: Without credentials.
        checks: In the order they were made.
    """

    url: str
    checks: tuple[Check, ...]

    @property
    def problems(self) -> tuple[Check, ...]:
        """What must be mended. The first is most often the cause of the others."""
        return tuple(check for check in self.checks if check.status == "problem")

    @property
    def error(self) -> PersistenceError | None:
        """What an operation would raise; None when nothing is wrong."""
        return next((check.error for check in self.problems if check.error is not None), None)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `schema` changes when a field changes its meaning."""
        return {
            "schema": 1,
            "url": self.url,
            "problems": len(self.problems),
            "checks": [check.as_dict() for check in self.checks],
        }


def diagnose(persistence: FSSpecPersistence, url: str = "", *, write: bool = False, on_check: OnCheck | None = None) -> Diagnosis:
    """Find out why a store does not work. Every check has a deadline of its own, so this ends.

    Args:
        persistence: Whose options hold.
        url: An address as its methods take it; empty for its default prefix.
        write: Also write a small object beside *url*, and delete it again.
        on_check: Told each check when it is done.

    Raises:
        InvalidNameError: *url* is not an address.

    Examples:
        >>> diagnose(FSSpecPersistence("memory://docs")).problems
        ()
    """
    elsewhere: list[str] = []
    owner, location = located(persistence, url, elsewhere)
    checks = []
    notes = (warning("class", f"{text}; what follows is about the driver alone") for text in elsewhere)
    for check in itertools.chain(notes, _Doctor(owner, location, url, write=write).checks()):
        checks.append(check)
        if on_check is not None:
            on_check(check)
    return Diagnosis(url=str(location), checks=tuple(checks))


class _Doctor:
    def __init__(self, persistence: Rooted, location: Location, address: str, *, write: bool) -> None:
        self._persistence, self._location, self._address, self._write = _hasty(persistence), location, address, write
        self._driver, self._options, self._note, self._no_secret = "unknown", Options(), "", False

    def checks(self) -> Iterator[Check]:
        driver = self._find_driver()
        yield driver
        if driver.status == "problem":
            return
        yield from (found for found in [self._find_secrets()] if found is not None)
        if self._no_secret:
            return
        options = self._find_options()
        yield options
        if options.status == "problem":
            return
        if self._driver in {"pyarrow", "hdfs-native"}:
            yield from hadoop.native_parts(self._driver)
        reached = True
        for check in self._way():
            reached = reached and check.status != "problem"
            yield check
        with_login = guarded("credentials", lambda: credentials(self._driver, self._location, *self._known))
        yield with_login
        if not reached:
            yield skipped("list", "not tried: there is no way to the server")
            return
        yield from self._permitted(with_login)

    @property
    def _known(self) -> tuple[Any, Any]:
        return self._options.values, self._options.origins

    # --- before the network ---

    def _find_driver(self) -> Check:
        addresses = self._persistence._addresses
        try:
            served = addresses.serves(self._location.protocol)
            cls = type(addresses.filesystem) if served else driver_class(self._location.protocol)
        except MissingDriverError as exc:
            return problem("driver", exc, exc.hint or "The line above installs it.")
        except UnknownProtocolError as exc:
            return problem("driver", exc, "persist protocols lists those there are.")
        self._driver = driver_name(cls)
        return ok("driver", f"{cls.__module__}.{cls.__qualname__}: {versions(cls, self._driver)}")

    def _find_secrets(self) -> Check | None:
        """Look up what the options refer to: a program that hangs is no server that hangs. None where nothing is referred to."""
        addresses = self._persistence._addresses
        try:
            values = {} if addresses.serves(self._location.protocol) else addresses.options(self._location).values
        except PersistenceError:
            return None  # the next check tells
        references = list(_references(values))
        for name, reference in references:
            way_out = f"{reference!r} is asked for {name}: look there by hand, as the user who runs this."
            try:
                within(secret.COMMAND_TIMEOUT_SECONDS + _SECRET_MARGIN_SECONDS, reference.resolve)
            except PersistenceError as exc:
                self._no_secret = True
                return problem("secrets", InvalidOptionError(f"{name}: {exc.message}"), exc.hint or way_out)
        told = ", ".join(f"{name} from {reference!r}" for name, reference in references)
        return ok("secrets", f"found: {told}") if told else None

    def _find_options(self) -> Check:
        """What the caller, the URL, files and the environment say; refused here when the driver does not know it."""
        addresses = self._persistence._addresses
        try:
            if not addresses.serves(self._location.protocol):
                self._options = addresses.options(self._location)
            within(CHECK_SECONDS, lambda: addresses.open(self._location))
        except PersistenceError as exc:
            return problem("options", exc)
        if not self._options.origins:
            return ok("options", "none given; all are the driver's own")
        told = ", ".join(f"{name} from {origin}" for name, origin in self._options.origins.items())
        return ok("options", told)

    # --- the way there ---

    def _way(self) -> Iterator[Check]:
        """Address, name, connection, proxy, TLS, clock. Ends where going on makes no sense."""
        try:
            endpoint = within(CHECK_SECONDS, lambda: endpoint_of(self._driver, self._location, *self._known))
        except PersistenceError as exc:
            yield problem("address", exc)
            return
        except Exception as exc:  # noqa: BLE001 - a driver's own configuration may be broken in any way
            yield problem("address", _ours(exc, "address", str(self._location)))
            return
        if endpoint is None:
            yield skipped("address", _no_endpoint(self._driver, self._location))
            return
        self._note = endpoint.note
        yield ok("address", f"{endpoint}, from {endpoint.origin}", endpoint.note)
        yield from self._network(endpoint)

    def _network(self, endpoint: Endpoint) -> Iterator[Check]:
        proxy = network.proxies(endpoint)
        yield proxy
        resolved, addresses = network.resolve(endpoint)
        behind_proxy = bool(network.relevant_proxy(endpoint))
        if resolved.status == "problem" and behind_proxy:
            yield warning("name", f"{resolved.found}; a proxy is set, and may know it")
            return
        yield resolved
        if not addresses:
            return
        connection = network.connect(endpoint, addresses, behind_proxy=behind_proxy)
        yield connection
        if connection.status == "problem" or (behind_proxy and connection.status == "warning"):
            return
        values = self._options.values
        secured = guarded("TLS", lambda: network.tls(endpoint, self._driver, values))
        if secured.status == "problem" and network.is_unverified(self._driver, values):
            secured = warning("TLS", f"{secured.found}; not checked, by the options")
        yield secured
        if secured.status != "problem":
            yield network.clock(endpoint, signed=self._driver in _SIGNED)

    # --- what is permitted ---

    def _permitted(self, login: Check) -> Iterator[Check]:
        listing = guarded("list", self._list)
        if isinstance(listing.error, AuthenticationError) and login.status == "warning":
            listing = replace(listing, way_out=login.way_out)  # it knows why
        yield listing
        if listing.status == "problem" and type(listing.error) is not PermissionDeniedError:
            return  # who may not list may still read
        yield guarded("read", self._read_missing)
        if self._write:
            yield guarded("write", self._probe)
        else:
            yield skipped("write", "not tried; --write writes and deletes a small object")

    def _list(self) -> Check:
        try:
            found = next(self._persistence.listdir(self._address), None)
        except NotAFolderError:
            return ok("list", "it is a file")
        except ObjectNotFoundError as exc:
            return self._absent(exc)
        except UnsupportedPersistenceOp as exc:
            return skipped("list", exc.message)
        return ok("list", "allowed; it is empty" if found is None else "allowed")

    def _absent(self, exc: ObjectNotFoundError) -> Check:
        """A prefix appears with its first object; a bucket or root does not."""
        store, key = self._persistence.store_and_key(self._address)
        with contextlib.suppress(ObjectNotFoundError):
            if store.info(key).is_folder is False:
                return ok("list", "it is a file")
        if not key or exc.message.startswith("bucket"):
            return self._no_root(exc)
        try:
            next(store.children(""), None)
        except ObjectNotFoundError as above:
            return self._no_root(above)
        except PermissionDeniedError:
            return ok("list", "there is nothing yet; what is above may not be listed")
        return ok("list", "there is nothing yet; the first object makes it")

    def _no_root(self, exc: ObjectNotFoundError) -> Check:
        """Named: of all that was typed, this is what may be misspelt."""
        found = problem(
            "list", exc, f"Check the name of the bucket or folder, the region, and the endpoint. {self._note}".strip()
        )
        return replace(found, found=f"{exc.message}: {redact(self._location.root.partition('://')[2])}")

    def _read_missing(self) -> Check:
        """Asks for a name that is not there: the answer must be "not there"."""
        store, key = self._persistence.store_and_key(self._address)
        probe = _probe_key(key)
        try:
            store.info(probe)
        except (ObjectNotFoundError, NotAFolderError):
            return ok("read", 'a missing object is answered with "not there"')
        except PermissionDeniedError as exc:
            way_out = "Allow listing (s3:ListBucket and its relatives): without it a missing object cannot be told from a forbidden one."
            return problem("read", exc, way_out)
        return warning(
            "read", "a name that nobody has written is there", "Is every name answered, as by a web server's error page?"
        )

    def _probe(self) -> Check:
        store, key = self._persistence.store_and_key(self._address)
        probe = _probe_key(key)
        if not store.capabilities.write:
            return skipped("write", "the store is read-only")
        made = _absent_folders(store, probe)
        try:
            return _written_and_deleted(store, probe)
        finally:
            for folder in made:  # only what is empty goes
                with contextlib.suppress(PersistenceError):
                    store.delete_folder(folder)


def _written_and_deleted(store: Store, probe: str) -> Check:
    writer = store.writer(probe, size=len(_PROBE))
    try:
        writer.write(_PROBE)
        writer.commit()
    finally:
        writer.abort()
    try:
        if b"".join(store.stream(probe)) != _PROBE:
            error = StoreError("what was read is not what was written", operation="read", url=store.url(probe))
            return problem("write", error)
    finally:
        store.delete(probe)
    return ok("write", "a small object was written, read and deleted")


def _absent_folders(store: Store, key: str) -> list[str]:
    """Folders that a write to a key would make, the deepest first."""
    found: list[str] = []
    folder = key.rpartition("/")[0]
    while store.capabilities.folders and folder:
        try:
            store.info(folder)
        except (ObjectNotFoundError, NotAFolderError):
            found.append(folder)
        except PersistenceError:
            break
        else:
            break
        folder = folder.rpartition("/")[0]
    return found


_WAYS_OUT: Final[Mapping[type[PersistenceError], str]] = {
    OperationTimeoutError: "The server is reached and does not answer: is it the right port, and the right protocol? Its log may say more.",
    ServerFailedError: "The trouble is the server's own; its log says more.",
    UnsupportedPersistenceOp: "persist explain shows what this store can do.",
}
_PROBE: Final = b"written by persistence-fsspec to see whether writing works; it may be deleted\n"


def _probe_key(key: str) -> str:
    name = f"persistence-probe-{uuid.uuid4().hex[:12]}"
    return f"{key.rstrip('/')}/{name}" if key else name


def guarded(name: str, act: Callable[[], Check]) -> Check:
    """A check that fails is a problem, and one that does not end is, too."""
    try:
        return within(CHECK_SECONDS, act)
    except Exception as exc:  # noqa: BLE001 - whatever a driver raises is what we are here to tell
        error = _ours(exc, name, "")
        return problem(
            name, error, error.hint or _WAYS_OUT.get(type(error), "persist -vv doctor shows more; so may the server's log.")
        )


def _ours(exc: Exception, operation: str, url: str) -> PersistenceError:
    found = translate(exc, operation=operation, url=url)
    return found if found is not None else StoreError(redact(f"{type(exc).__name__}: {exc}"), operation=operation, url=url)


def _hasty(persistence: Rooted) -> Rooted:
    """The same, but it asks once and does not wait long."""
    twin = copy.copy(persistence)
    policy = persistence._policy
    seconds = min(policy.timeout_seconds or _OPERATION_SECONDS, _OPERATION_SECONDS)
    twin._policy = replace(policy, attempts=1, timeout_seconds=seconds, stall_seconds=min(policy.stall_seconds, seconds))
    return twin


def _references(options: Any, dotted: str = "") -> Iterator[tuple[str, secret.SecretReference]]:
    """Every reference in the options, with its dotted name."""
    if isinstance(options, secret.SecretReference):
        yield dotted, options
    elif isinstance(options, Mapping):
        for name, value in options.items():
            yield from _references(value, f"{dotted}.{name}".lstrip("."))
    elif isinstance(options, (list, tuple)):
        for i, value in enumerate(options):
            yield from _references(value, f"{dotted}[{i}]")


def _no_endpoint(driver: str, location: Location) -> str:
    behind = location.root.partition("::")[2]
    if behind:
        return f"a chain; persist doctor {shlex.quote(redact(behind))} looks at what is behind"
    return "on this machine" if driver in {"local", "memory"} else "not known before the driver connects"
