"""A project of statisfactory, whose only line about us is its entry point, and a pipeline over all kinds of artifacts.

Prints what went through one store, as JSON.
"""

import json
import os
import sys
from pathlib import Path

import pandas as pd
import pygit2

BASE, SETTINGS = sys.argv[1], json.loads(sys.argv[2])
KINDS = {"raw": "csv", "rows": "csv", "model": "pickle", "frame": "feather", "book": "xslx", "blob": "binary"}
NAMES = {"raw": "raw.csv", "rows": "by day/!{day}.csv", "book": "b #1.xslx"}

PROJECT = """
[tool.statisfactory]
project_slug = "weather"
configuration = "conf"
catalog = "catalog.yaml"

[tool.statisfactory.entrypoints]
module = "persistence_fsspec.faces.statisfactory_plugin"
"""


def project():
    """A repository of git with the files that a session reads."""
    root = Path.cwd()
    repository = pygit2.init_repository(str(root))
    somebody = pygit2.Signature("x", "x@localhost")
    repository.create_commit("refs/heads/feat/x", somebody, somebody, "x", repository.TreeBuilder().write(), [])
    repository.set_head("refs/heads/feat/x")  # lakeFS has a branch for each of git's
    (root / "pyproject.toml").write_text(PROJECT)
    (root / "conf").mkdir()
    (root / "conf" / "globals.yaml").write_text(json.dumps({"base": BASE}))  # JSON is YAML
    (root / "conf" / "locals.yaml").write_text(json.dumps(SETTINGS))
    options = {"csv": {"save_options": {"index": False}}, "xslx": {"save_options": {"index": False}}}
    catalog = [
        {
            "name": name,
            "type": kind,
            "extra": {"path": f"{{{{ base }}}}/{NAMES.get(name, f'{name}.{kind}')}"},
            **options.get(kind, {}),
        }
        for name, kind in KINDS.items()
    ]
    (root / "catalog.yaml").write_text(json.dumps(catalog))


def crafts():
    """What the pipeline is made of; annotations are read when they are defined."""
    from statisfactory import Artifact, Craft, Volatile

    @Craft()
    def measure() -> Artifact("raw"):
        return pd.DataFrame({"day": [1, 2, 3], "degrees": [1.5, 3.0, 4.5]})

    @Craft()
    def select(raw: Artifact) -> (Artifact("rows"), Artifact("model"), Volatile("count")):
        warm = raw[raw["degrees"] > 2]
        return warm, {"mean": float(warm["degrees"].mean())}, len(warm)

    @Craft()
    def publish(rows: Artifact, model: Artifact, count: Volatile) -> (Artifact("frame"), Artifact("book"), Artifact("blob")):
        frame = rows.reset_index(drop=True)
        return frame, frame, f"{count} warm days, {model['mean']}".encode()

    return measure + select + publish


def told(ask):
    try:
        return ask()
    except Exception as exc:
        causes = []
        while exc is not None:
            causes.append([type(exc).__name__, str(exc)])
            exc = exc.__cause__
        return causes


def main():
    project()
    from statisfactory import Session
    from statisfactory.IO import Backend

    session = Session()
    pipeline = crafts()
    with session:
        volatile = pipeline(day="monday")
        again = pipeline(day="tuesday")
    catalog = session.catalog
    found = {
        "count": [volatile["count"], again["count"]],
        "rows": [catalog.load("rows", day=day)["day"].tolist() for day in ("monday", "tuesday")],
        "model": catalog.load("model"),
        "frame": catalog.load("frame").to_dict("list"),
        "book": catalog.load("book").to_dict("list"),
        "blob": bytes(catalog.load("blob")).decode(),
        "missing": told(lambda: catalog.load("rows", day="sunday")),
        "classes": sorted({cls.__name__ for cls in Backend.backends().values()}),
        "left": sorted(str(path.relative_to(os.getcwd())) for path in Path.cwd().rglob("*.csv")),
    }
    print(json.dumps(found, default=str))  # noqa: T201 - the answer


main()
