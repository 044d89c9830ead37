"""What would happen with a URL: which driver, with which options, and where each of them comes from."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from persistence_fsspec import secret, sensitive
from persistence_fsspec.addresses import Addresses
from persistence_fsspec.config import FACTORY, Options
from persistence_fsspec.configfile import chosen_profile
from persistence_fsspec.configtables import candidates, display
from persistence_fsspec.errors import PersistenceError
from persistence_fsspec.location import ALIASES, Location, is_local_path, is_url, local, parse
from persistence_fsspec.persistence import FSSpecPersistence
from persistence_fsspec.rooted import Rooted
from persistence_fsspec.stores.registered import ProtocolInfo, distribution, protocols, registration

__all__ = ["ExplainedFile", "ExplainedOption", "Explanation", "ProtocolInfo", "explain", "protocols"]

_PROXY: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "NETRC")
_HADOOP: Final = ("HADOOP_", "HDFS_", "JAVA_HOME", "CLASSPATH", "ARROW_LIBHDFS_DIR", "KRB5")
_VARIABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "s3": ("AWS_", "BOTO_CONFIG", "S3FS_", *_PROXY),
    "gs": ("GOOGLE_", "GCSFS_", "CLOUDSDK_", "GCLOUD_PROJECT", "STORAGE_EMULATOR_HOST", *_PROXY),
    "abfs": ("AZURE_", *_PROXY),
    "hdfs": _HADOOP,
    "viewfs": _HADOOP,
    "webhdfs": ("KRB5", "REQUESTS_CA_BUNDLE", *_PROXY),
    "sftp": ("SSH_",),
    "smb": ("KRB5",),
    "webdav": _PROXY,
    "http": _PROXY,
    "lakefs": ("LAKEFS_", "LAKECTL_"),
    "oss": ("OSS_",),
    "hf": ("HF_", "HUGGINGFACE_"),
    "github": ("GITHUB_", *_PROXY),
}
"""Protocol -> how the environment variables begin that its driver reads."""


@dataclass(frozen=True, slots=True)
class ExplainedOption:
    """One option.

    Attributes:
        name: Of a chain's other links with the protocol in front: ``"s3.key"``.
        value: As it may be shown; secrets are ``***``, references to secrets are themselves.
        origin: Who said so.
    """

    name: str
    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class ExplainedFile:
    """One ``persistence.toml``.

    Attributes:
        path: Where it is, or would be.
        found: Whether it exists.
        own: Whether it is the user's own; the one in the working folder may only tune.
    """

    path: str
    found: bool
    own: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """All that decides what happens with a URL. Nothing was connected to find it out, and no secret looked up.

    Attributes:
        url: Without credentials.
        protocol: Of its first link.
        driver: Dotted name of the filesystem class; empty when there is none.
        package: Name and version of the distribution that it comes from.
        registered_by: Who named that class for the protocol.
        replaced: The class that fsspec itself would use, when it is another.
        persistence: Dotted name of the persistence class that serves the URL.
        options: The driver's, the caller's first.
        environment: Names of environment variables that the driver reads, and that are set.
        capabilities: What the store can do, by field; None when it cannot be told.
        accelerator: The faster engine in use, or why there is none.
        profile: The one that holds, if any.
        files: The ``persistence.toml`` that were looked for.
        problems: Why it would not work, one line each.
    """

    url: str
    protocol: str
    driver: str = ""
    package: str = ""
    registered_by: str = ""
    replaced: str = ""
    persistence: str = ""
    options: tuple[ExplainedOption, ...] = ()
    environment: tuple[str, ...] = ()
    capabilities: Mapping[str, Any] | None = None
    accelerator: str = "none: every request goes through the driver itself"
    profile: str | None = None
    files: tuple[ExplainedFile, ...] = ()
    problems: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For machines: plain values, all of which JSON can hold. Its shape is versioned by ``schema``."""
        return {"schema": 1, **{field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}}


def explain(persistence: FSSpecPersistence, url: str = "") -> Explanation:
    """Tell what would happen with an address.

    Args:
        persistence: Whose options hold.
        url: An address as its methods take it; empty for its default prefix.

    Raises:
        InvalidNameError: It is not an address.
    """
    problems: list[str] = []
    owner, location = located(persistence, url, problems)
    addresses = owner._addresses
    found, options = _registration(addresses, location, problems), _options(addresses, location, problems)
    return Explanation(
        url=str(location),
        protocol=location.protocol,
        driver=found.driver,
        package=found.package,
        registered_by=found.registered_by,
        replaced=found.replaced,
        persistence=f"{type(owner).__module__}.{type(owner).__qualname__}",
        options=tuple(_shown(options)),
        environment=_environment(location.protocol),
        capabilities=_capabilities(addresses, location, options, problems),
        profile=chosen_profile(addresses.profile),
        files=tuple(_files(problems)),
        problems=tuple(dict.fromkeys(problems)),
    )


def located(persistence: Rooted, address: str, problems: list[str]) -> tuple[Rooted, Location]:
    """The persistence that speaks for an address, and where that is."""
    if is_local_path(address):
        return persistence, local(address)
    if not is_url(address):
        prefix = persistence._addresses.prefix
        return persistence, prefix.child(address) if address else prefix
    try:
        return persistence._owner(address), parse(address)
    except PersistenceError as exc:
        problems.append(exc.message)
        return persistence, parse(address)


def _registration(addresses: Addresses, location: Location, problems: list[str]) -> ProtocolInfo:
    if addresses.serves(location.protocol):
        cls = type(addresses.filesystem)
        dotted = f"{cls.__module__}.{cls.__qualname__}"
        given = "the caller, who gave a ready filesystem"
        return ProtocolInfo(protocol=location.protocol, driver=dotted, package=distribution(dotted), registered_by=given)
    try:
        found = registration(location.protocol)
    except PersistenceError as exc:
        problems.append(str(exc))
        return ProtocolInfo(protocol=location.protocol, driver="", package="", registered_by="", installed=False)
    if found.missing:
        problems.append(found.missing)
    return found


def _options(addresses: Addresses, location: Location, problems: list[str]) -> Options:
    if addresses.serves(location.protocol):
        return Options()
    try:
        return addresses.options(location)
    except PersistenceError as exc:
        problems.append(str(exc))
        return Options()


def _shown(options: Options, prefix: str = "") -> Iterator[ExplainedOption]:
    for name, value in sensitive.shown(options.values).items():
        unchecked = ", unchecked" if name in options.unchecked else ""
        yield ExplainedOption(f"{prefix}{name}", value, f"{options.origins[name]}{unchecked}")
    for protocol, link in options.links.items():
        yield from _shown(link, f"{prefix}{protocol}.")


def _capabilities(addresses: Addresses, location: Location, options: Options, problems: list[str]) -> Mapping[str, Any] | None:
    """Of a store that is made and never used; a factory would connect, so it is not called."""
    if FACTORY in options.values or problems:
        return None
    try:
        return dataclasses.asdict(addresses.open(location).capabilities)
    except PersistenceError as exc:
        problems.append(str(exc))
        return None


def _environment(protocol: str) -> tuple[str, ...]:
    beginnings = ("FSSPEC_", "PERSISTENCE_FSSPEC_", *_VARIABLES.get(ALIASES.get(protocol, protocol), ()))
    return tuple(sorted(name for name, value in os.environ.items() if value and name.upper().startswith(beginnings)))


def _files(problems: list[str]) -> Iterator[ExplainedFile]:
    try:
        for path, own in candidates():
            yield ExplainedFile(display(path), path.exists(), own)
    except OSError as exc:
        problems.append(f"persistence.toml cannot be looked for: {exc.strerror}")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        if isinstance(value, secret.SecretReference):
            return repr(value)
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
