"""A statisfactory project whose artifacts lie on any URL; the last line of its pyproject.toml is all that is ours.

Run it with a URL, or without one for the memory of this process: with statisfactory where that is installed, and otherwise
with the same backends by themselves.
"""

import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlparse

from persistence_fsspec.faces.statisfactory import Backend

FILES = {
    "pyproject.toml": """
[tool.statisfactory]
project_slug = "weather"
configuration = "conf"
catalog = "catalog.yaml"

[tool.statisfactory.entrypoints]
module = "persistence_fsspec.faces.statisfactory_plugin"
""",
    "conf/globals.yaml": "base: {base}\n",
    "conf/locals.yaml": "user: me\n",
    "catalog.yaml": """
- name: measured
  type: csv
  extra:
    path: "{{{{ base }}}}/!{{city}}/measured #1.csv"
  save_options:
    index: False

- name: model
  type: pickle
  extra:
    path: "{{{{ base }}}}/!{{city}}/model.pkl"
""",
}


def with_statisfactory(base: str, folder: Path) -> None:
    import pandas as pd  # noqa: PLC0415 - these come with statisfactory
    import pygit2  # noqa: PLC0415
    from statisfactory import Artifact, Craft, Session  # noqa: PLC0415

    pygit2.init_repository(str(folder))  # a session belongs to one
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text.format(base=base))

    @Craft()
    def measure() -> Artifact("measured"):
        return pd.DataFrame({"day": [1, 2, 3], "degrees": [1.5, 3.0, 4.5]})

    @Craft()
    def fit(measured: Artifact) -> Artifact("model"):
        return {"mean": float(measured["degrees"].mean())}

    session = Session(root_folder=str(folder))
    pipeline = measure + fit
    with session:
        pipeline(city="Bergen")
    print("the model:", session.catalog.load("model", city="Bergen"))


def by_themselves(base: str) -> None:
    path = urlparse(f"{base}/Bergen/measured #1.csv")
    backend = Backend.backends()[path.scheme]
    backend(session=None).put(payload=b"day,degrees\n1,1.5\n2,3.0\n3,4.5\n", fragment=path)
    rows = backend(session=None).get(fragment=path).decode().splitlines()[1:]
    print("the model:", {"mean": sum(float(row.split(",")[1]) for row in rows) / len(rows)})


def main(base: str = "memory://artifacts") -> None:
    print("the line:", FILES["pyproject.toml"].strip().splitlines()[-1])
    if find_spec("statisfactory"):
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)  # where statisfactory looks for the repository
            with_statisfactory(base, Path(folder))
            os.chdir("/")
    else:
        print("statisfactory is not installed; its backends do without")
        by_themselves(base)


if __name__ == "__main__":
    main(*sys.argv[1:])
