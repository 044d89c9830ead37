"""The front door for statisfactory: one line of ``pyproject.toml``, and the catalog's paths are any URL that fsspec knows.

``[tool.statisfactory.entrypoints] module = "persistence_fsspec.faces.statisfactory_plugin"`` calls `register`; a project
that has a module of its own there calls it in that one. Importing this needs no statisfactory, and changes nothing.

* `storage`: what every backend does; `lakefs`: where things lie there; `settings`: what the session says of stores.
* `Backend`: the same interface without statisfactory.
"""

from persistence_fsspec.faces.statisfactory.registering import register, unregister
from persistence_fsspec.faces.statisfactory.twin import Backend, PrefixTakenError

__all__ = ["Backend", "PrefixTakenError", "register", "unregister"]
