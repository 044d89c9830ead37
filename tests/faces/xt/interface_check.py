"""Whether XT's own declaration accepts our classes, and what it says of one that has a method less; prints it, as JSON."""

import json

from interface import implements
from xtlib.storage.store_interface import StoreInterface

from persistence_fsspec.faces.xt import FSSpecStore, UnguardedStore


def accepted(*bases):
    """Make a class that claims to have all that XT asks for."""
    try:
        return type("Claims", (*bases, implements(StoreInterface)), {})({"path": "memory://interface"}).list_containers()
    except Exception as exc:
        return type(exc).__name__


class Less:
    """Has most of it."""

    def __init__(self, creds):
        pass


for name in dir(FSSpecStore):
    if not name.startswith("_") and name != "copy_blob":
        setattr(Less, name, getattr(FSSpecStore, name))

print("\n" + json.dumps({cls.__name__: accepted(cls) for cls in (FSSpecStore, UnguardedStore, Less)}))  # noqa: T201 - the answer, on a line of its own
