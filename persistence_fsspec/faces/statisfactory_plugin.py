"""Named in a project's ``[tool.statisfactory.entrypoints]``: importing it registers our backends, for every protocol.

The project asks for it by name, so what fails here is raised, and no other storage is used in silence.
"""

from __future__ import annotations

import logging

from persistence_fsspec.faces.statisfactory import register
from persistence_fsspec.overrides import unknown

for _problem in unknown():
    logging.getLogger("persistence_fsspec").warning("%s", _problem)
register()
