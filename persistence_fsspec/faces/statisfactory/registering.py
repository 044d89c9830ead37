"""Our backends in statisfactory's registry, in the place of its own ones, and back."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from persistence_fsspec import config, overrides
from persistence_fsspec.dotted import dotted
from persistence_fsspec.errors import InvalidOptionError, MissingDriverError, UnknownProtocolError
from persistence_fsspec.faces.statisfactory.making import made, protocols
from persistence_fsspec.faces.statisfactory.storage import Registration, SessionPersistence, Storage
from persistence_fsspec.forks import whole_when_forked
from persistence_fsspec.overrides import Override
from persistence_fsspec.policy import Policy
from persistence_fsspec.spelling import did_you_mean

_FRAMEWORK: Final = "statisfactory"
_WHY: Final = "one class with the same promises for every protocol: whole objects or none, verified, repeated, all names"
_lock = threading.RLock()
whole_when_forked(_lock)


def register(
    *schemes: str,
    override: bool = True,
    leading_slash: bool | None = None,
    storage_options: config.StorageOptions = None,
    policy: Policy | None = None,
) -> tuple[Override, ...]:
    """Serve artifacts by `FSSpecPersistence`. A second call adds to the first, and changes what it says anew.

    Args:
        schemes: Protocols without ``://``, and ``""`` for the files of this machine; without any, all that fsspec knows.
        override: Also where statisfactory or somebody else has a backend.
        leading_slash: Keys of S3 begin with a slash, as those that statisfactory's own backend has written. False unless given.
            Chains over S3 are refused then. It holds for all that is registered, and all that will be, until `unregister`.
        storage_options: As for `FSSpecPersistence`: nested by protocol, flat if there is one scheme, or a function of the URL.
            They come before the session's settings, and these before everything else; a login is of one of them.
        policy: As there.

    Returns:
        What is registered now, one for each scheme.

    Raises:
        MissingDriverError: There is no statisfactory here.
        UnknownProtocolError: fsspec knows no such protocol, or it cannot be the scheme of a URL.
        InvalidOptionError: Options that apply to nothing, or an argument of another kind.
    """
    wanted = _checked(schemes)
    options = _nested(storage_options, schemes)
    if not isinstance(leading_slash, bool | None):
        raise InvalidOptionError(f"leading_slash is True or False, not {leading_slash!r}")
    if leading_slash is not None and not any(config.canonical(scheme) == "s3" for scheme in wanted):
        raise InvalidOptionError("leading_slash is about s3, which is not among the schemes")
    SessionPersistence({}, storage_options=options, policy=policy)  # refuses what nothing could be done with
    base, errors = _statisfactory()
    said = {"storage_options": options, "policy": policy}
    with _lock:
        framework = _named()
        slash = _slashing(base.backends(), leading_slash)
        for scheme in _allowed(wanted):
            present = base.backends().get(scheme)
            if _is_ours(present):
                present.registration = present.registration.changed(**said)
            elif override or present is None:
                registration = Registration(leading_slash=slash).changed(**said)
                overrides.note(_replaced(base, errors, scheme, registration, framework))
        return tuple(one for one in overrides.active() if one.framework.startswith(_FRAMEWORK))


def unregister() -> None:
    """Put back what `register` found, but for what somebody else has replaced since."""
    with _lock:
        overrides.undo(_FRAMEWORK)


def _nested(options: config.StorageOptions, schemes: Sequence[str]) -> config.StorageOptions:
    """Flat options belong to the one scheme there is."""
    if options is None or callable(options):
        return options
    given = config.checked_shape(options, config.KEYWORD)
    try:
        config.check_options(given, None)
    except InvalidOptionError:
        if len(schemes) != 1 or not schemes[0]:
            raise InvalidOptionError(
                "flat storage_options need one scheme that they belong to",
                hint='Nest them by protocol instead: storage_options={"s3": {...}}.',
            ) from None
        return {schemes[0]: given}
    return given


def _checked(schemes: Sequence[str]) -> list[str]:
    known = protocols()
    for scheme in schemes:
        if not isinstance(scheme, str):
            raise InvalidOptionError(
                f"schemes are names of protocols, not {type(scheme).__name__}", hint='Several are said as register("s3", "gs").'
            )
        if scheme not in known:
            raise UnknownProtocolError(f"there is no protocol {scheme!r}", hint=did_you_mean(scheme, known))
    return list(dict.fromkeys(schemes)) or known


def _statisfactory() -> tuple[Any, Any]:
    try:
        from statisfactory.errors import Errors  # type: ignore[import-not-found, unused-ignore]
        from statisfactory.IO import Backend  # type: ignore[import-not-found, unused-ignore]
    except ImportError as exc:
        if exc.name in {_FRAMEWORK, f"{_FRAMEWORK}.IO", f"{_FRAMEWORK}.errors"}:
            hint = "It is not on the package index, where another package has its name; install it from its repository."
            raise MissingDriverError("statisfactory is not installed", hint=hint) from exc
        raise MissingDriverError(f"statisfactory cannot be imported: {exc}") from exc
    return Backend, Errors


def _named() -> str:
    try:
        return f"{_FRAMEWORK} {version(_FRAMEWORK)}"
    except PackageNotFoundError:  # run from its sources
        return _FRAMEWORK


def _allowed(schemes: Sequence[str]) -> list[str]:
    """Those that the environment leaves to us; files of this machine are those of ``file``."""
    chosen = set(overrides.chosen([scheme or "file" for scheme in schemes]))
    return [scheme for scheme in schemes if (scheme or "file") in chosen]


def _slashing(backends: Mapping[str, Any], said: bool | None) -> bool:  # noqa: FBT001
    """Whether keys of S3 begin with a slash, for all our classes alike: a chain over S3 is read by another one.

    Args:
        backends: What is registered; our classes there are told.
        said: Anew, if not None.
    """
    ours = [cls for cls in list(backends.values()) if _is_ours(cls)]
    if said is None:
        return any(cls.registration.leading_slash for cls in ours)
    for cls in ours:
        cls.registration = cls.registration.changed(leading_slash=said)
    return said


def _is_ours(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, Storage)


def _replaced(base: Any, errors: Any, scheme: str, registration: Registration, framework: str) -> Override:
    """Take out what is there, for there is no other way to have one's own, and put ours in; the record of it."""
    backends: dict[str, Any] = base.backends()
    before = backends.pop(scheme, None)
    try:
        ours = made(base, scheme, registration, errors)
    except BaseException:
        _restore(backends, scheme, before)
        raise
    return Override(
        framework=framework,
        protocol=scheme or "file",
        before=_dotted(before),
        ours=dotted(ours),
        why=_WHY,
        look=lambda: _dotted(backends.get(scheme)),
        restore=partial(_restore, backends, scheme, before),
    )


def _dotted(cls: Any) -> str:
    return "" if cls is None else dotted(cls)


def _restore(backends: dict[str, Any], scheme: str, before: Any) -> None:
    if before is None:
        backends.pop(scheme, None)
    else:
        backends[scheme] = before
