"""`storage_factory`, ours and functionfuse's: storages by kind and options, as configuration files hold them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from persistence_fsspec.errors import InvalidOptionError
from persistence_fsspec.faces.functionfuse.protocols import S3_PROTOCOL
from persistence_fsspec.faces.functionfuse.ray import RayStorage
from persistence_fsspec.faces.functionfuse.storage import FSSpecStorage, check_address
from persistence_fsspec.location import is_url, parse
from persistence_fsspec.secret import referenced_variables
from persistence_fsspec.spelling import did_you_mean

Options = Mapping[str, Any]


def storage_factory(opt: Options) -> Any:
    """Make a storage.

    Args:
        opt: ``{"kind": ..., "options": {...}}``. Kinds and their options, of which ``path`` is required:

            * ``fsspec``: ``path`` (any URL), ``storage_options``, ``profile``, ``policy`` (fields of `Policy`), ``remoteArgs``.
            * ``file``: ``path`` (of this machine), ``policy``.
            * ``S3``: ``path`` (``/bucket/folder``), ``s3fs`` (options of the driver), ``profile``, ``policy``.
            * ``ray``: ``path``, ``remoteArgs``, ``rayInitArgs``, ``storage_options``, ``profile``, ``policy``.

            ``{"env": "NAME"}`` in ``storage_options`` and ``s3fs`` stands for what the variable holds where it is used.

    Raises:
        InvalidOptionError: No such kind, or options that it does not have, or lacks.

    Examples:
        >>> storage_factory({"kind": "fsspec", "options": {"path": "memory://results"}})
        FSSpecStorage('memory://results')
    """
    kind, options = _kind_of(opt), opt.get("options")
    if kind not in KINDS:
        raise unknown_kind(kind, KINDS)
    make, known = KINDS[kind]
    if not isinstance(options, Mapping):
        raise InvalidOptionError(f"storage of kind {kind!r} lacks its options", hint='{"kind": ..., "options": {"path": ...}}')
    for name in options:
        if name not in known:
            question = did_you_mean(str(name), known)
            raise InvalidOptionError(
                f"storage of kind {kind!r} has no option {name!r}. {question}".rstrip(), hint=f"It has: {', '.join(known)}."
            )
    if not options.get("path"):
        raise InvalidOptionError(f"storage of kind {kind!r} lacks the option 'path'")
    check_address(options["path"])
    given = {name: options[name] for name in _FOR_DRIVERS if isinstance(options.get(name), Mapping)}
    return make({**options, **referenced_variables(given)})


def _kind_of(opt: Any) -> Any:
    if not isinstance(opt, Mapping) or not isinstance(opt.get("kind"), str):
        raise InvalidOptionError("a storage is made of its kind and options", hint='{"kind": "fsspec", "options": {"path": ...}}')
    return opt["kind"]


def unknown_kind(kind: Any, known: Any) -> InvalidOptionError:
    """The error that says so."""
    question = did_you_mean(str(kind), known)
    return InvalidOptionError(f"there is no storage of kind {kind!r}. {question}".rstrip(), hint=f"Kinds: {', '.join(known)}.")


def _fsspec(options: Options) -> FSSpecStorage:
    given = {name: value for name, value in options.items() if name not in {"path", "remoteArgs"}}
    return FSSpecStorage(options["path"], remote_args=options.get("remoteArgs"), **given)


def _file(options: Options) -> FSSpecStorage:
    path = str(options["path"])
    if is_url(path) and parse(path).protocol != "file":
        raise InvalidOptionError("storage of kind 'file' has a path of this machine", hint="Kind 'fsspec' takes any URL.")
    return FSSpecStorage(options["path"], policy=options.get("policy"))


def _s3(options: Options) -> FSSpecStorage:
    path = str(options["path"])
    place = path.removeprefix("s3://").lstrip("/")
    if not place or is_url(place):
        raise InvalidOptionError("storage of kind 'S3' has a path '/bucket/folder'", hint="Kind 'fsspec' takes any URL.")
    # As there, serializers get no files, so that functionfuse itself can read what they write.
    return FSSpecStorage(
        f"s3://{place}",
        options.get("s3fs"),
        profile=options.get("profile"),
        policy=options.get("policy"),
        protocols=(S3_PROTOCOL,),
    )


def _ray(options: Options) -> RayStorage:
    given = {name: value for name, value in options.items() if name not in {"path", "remoteArgs", "rayInitArgs"}}
    more = {"remote_args": options.get("remoteArgs"), "ray_init_args": options.get("rayInitArgs")}
    return RayStorage(options["path"], **more, **given)


_FOR_DRIVERS: Final = ("storage_options", "s3fs")
_MORE: Final = ("storage_options", "profile", "policy")

KINDS: Final[Mapping[str, tuple[Callable[[Options], Any], tuple[str, ...]]]] = {
    "fsspec": (_fsspec, ("path", *_MORE, "remoteArgs")),
    "file": (_file, ("path", "policy")),
    "S3": (_s3, ("path", "s3fs", "profile", "policy")),
    "ray": (_ray, ("path", "remoteArgs", "rayInitArgs", *_MORE)),
}
