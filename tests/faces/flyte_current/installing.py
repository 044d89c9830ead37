"""What installing and uninstalling changes in a process; prints it as JSON.

Its arguments say what to do before flytekit is imported, each the name of a function below.
"""

import importlib.metadata
import json
import logging
import sys

TOLD = []


# --- before ---


def without():
    """As if this project were not installed."""
    original = importlib.metadata.entry_points

    def entry_points(**chosen):
        found = original(**chosen)
        return [one for one in found if one.name != "persistence_fsspec"] if chosen.get("group") == "flytekit.plugins" else found

    importlib.metadata.entry_points = entry_points


def broken():
    """Nothing that we alone depend on can be imported."""
    for name in ("google_crc32c", "pathspec", "platformdirs", "tenacity"):
        sys.modules[name] = None


def halfway():
    """Part of ours cannot be imported, the last that is needed."""
    sys.modules["persistence_fsspec.faces.flyte.frames"] = None


def resolved():
    """Somebody has worked with these drivers already."""
    import fsspec

    fsspec.get_filesystem_class("s3")


def own():
    """Somebody has a class of their own."""
    import fsspec
    import s3fs

    class Own(s3fs.S3FileSystem):
        pass

    fsspec.register_implementation("s3", Own, clobber=True)
    fsspec.register_implementation("sftp", type("Own", (fsspec.AbstractFileSystem,), {"protocol": "sftp"}), clobber=True)


def hosts():
    """Nothing; tells what flytekit makes for hosts."""


def wrapped():
    """Nothing; somebody wraps methods when ours are there."""


class Listening(logging.Handler):
    def emit(self, record):
        TOLD.append([record.levelname, record.getMessage()])


def main():
    logging.getLogger("flytekit.persistence_fsspec").setLevel(logging.INFO)
    for name in ("flytekit.persistence_fsspec", "persistence_fsspec"):
        logging.getLogger(name).addHandler(Listening())
    for name in sys.argv[1:]:
        globals()[name]()

    import flytekit  # noqa: F401 - which loads our entry point

    modules = {name: type(module).__name__ for name, module in sys.modules.items() if "." not in name}
    found = {"modules": modules, "told": list(TOLD), "now": now(), **steps_of(sys.argv[1:]), **undone()}
    sys.stdout.write(json.dumps(found) + "\n")


# --- after ---


def now():
    """All that we may have changed."""
    from flytekit.core.data_persistence import FileAccessProvider
    from flytekit.types import structured
    from fsspec.registry import known_implementations, registry

    protocols = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "ftp", "sftp", "memory", "file")
    engine = structured.StructuredDatasetTransformerEngine
    handlers = [
        f"{type(one).__module__}.{type(one).__qualname__}"
        for table in (engine.ENCODERS, engine.DECODERS)
        for by_protocol in table.values()
        for by_format in by_protocol.values()
        for one in by_format.values()
    ]
    return {
        "known": {protocol: dict(known_implementations[protocol]) for protocol in protocols},
        "classes": {protocol: dotted(registry[protocol]) for protocol in protocols if protocol in registry},
        "methods": [where(getattr(FileAccessProvider, name)) for name in ("__init__", "get_filesystem")],
        "registering": [where(structured.register_pandas_handlers), where(structured.register_arrow_handlers)],
        "handlers": sorted(handlers),
    }


def steps_of(names):
    if not names:
        return steps()
    if "wrapped" in names:
        return {"wrapped": wrapping()}
    return (
        {"hosts": {protocol: made_for(f"{protocol}://host/x") for protocol in ("ftp", "sftp")}}
        if {"own", "hosts"} & {*names}
        else {}
    )


def made_for(url):
    """The class of what flytekit makes for it; without us, for most hosts nothing."""
    from flytekit.core.data_persistence import FileAccessProvider

    try:
        return type(FileAccessProvider("/tmp", "/tmp/raw").get_filesystem_for_path(url)).__name__  # noqa: S108 - nothing is written
    except Exception as exc:
        return str(exc)


def wrapping():
    """Somebody wraps two methods of three when ours are there; we go, and come, and go."""
    from functools import wraps

    from flytekit.core.data_persistence import FileAccessProvider as Access

    from persistence_fsspec import overrides
    from persistence_fsspec.faces.flyte import install, uninstall

    asked = []
    uninstall()
    before = {name: getattr(Access, name) for name in ("__init__", "get_filesystem", "get_filesystem_for_path")}
    install()

    def theirs(name, method):
        @wraps(method)
        def asking(*args, **options):
            asked.append(name)
            return method(*args, **options)

        return asking

    for name in ("__init__", "get_filesystem"):
        setattr(Access, name, theirs(name, getattr(Access, name)))
    records = [one for one in overrides.active() if one.protocol in {"file", "sftp", "ftp"}]

    def look():
        asked.clear()
        prefix = Access("/tmp", "file:///data").raw_output_prefix  # noqa: S108 - nothing is written
        host = made_for("sftp://host/x")
        still = [name for name, method in before.items() if getattr(Access, name) is method]
        return {"prefix": prefix, "host": host, "asked": "__init__" in asked, "still": still}

    found = {"ours": look()}
    uninstall()
    found["told"] = sorted({one.as_dict()["active"] for one in records})
    found["uninstalled"] = look()
    install()
    found["installed again"] = look()
    uninstall()
    found["uninstalled again"], found["depths"] = look(), []
    for _ in range(4):
        install()
        uninstall()
        found["depths"].append([depth(getattr(Access, name)) for name in before])
    return found


def depth(method):
    """How many wrappers there are around it."""
    return 1 + depth(method.__wrapped__) if hasattr(method, "__wrapped__") else 0


def dotted(cls):
    return f"{cls.__module__}.{cls.__qualname__}"


def where(function):
    """The module whose it is; those that keep what they return are flytekit's own."""
    return function.__globals__["__name__"] if hasattr(function, "__globals__") else function.__module__


def steps():
    """Undo it, do it again, with handlers registered and a class in use."""
    import fsspec
    import pandas as pd
    import pyarrow as pa
    from flytekit.core.type_engine import TypeEngine

    from persistence_fsspec.faces.flyte import install, uninstall

    uninstall()
    found = {"uninstalled": now()}
    TypeEngine.to_literal_type(pd.DataFrame), TypeEngine.to_literal_type(pa.Table)
    fsspec.get_filesystem_class("s3")
    found["theirs in use"] = now()
    install()
    install()
    found["ours in use"] = now()
    uninstall()
    found["uninstalled again"] = now()
    install()
    fsspec.register_implementation("gs", type("Own", (fsspec.get_filesystem_class("gs"),), {"__module__": "mine"}), clobber=True)
    return found


def undone():
    """What is left when we are gone."""
    from persistence_fsspec import overrides
    from persistence_fsspec.faces.flyte import uninstall

    told = [one.as_dict() for one in overrides.active()]
    uninstall()
    return {"overrides": told, "at the end": now()}


main()
