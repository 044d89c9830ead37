"""What statisfactory's own backends wrote, read by ours, and the other way round; prints what came back, as JSON."""

import json
import sys
from pathlib import Path
from urllib.parse import urlparse

import pygit2
from statisfactory import Session
from statisfactory.IO import Backend

from persistence_fsspec.faces.statisfactory import register

SETTINGS, PATHS = json.loads(sys.argv[1]), sys.argv[2:]
PROJECT = '[tool.statisfactory]\nproject_slug = "weather"\nconfiguration = "conf"\ncatalog = "catalog.yaml"\n'


def session():
    root = Path.cwd()
    repository = pygit2.init_repository(str(root))
    somebody = pygit2.Signature("x", "x@localhost")
    repository.create_commit("refs/heads/work", somebody, somebody, "x", repository.TreeBuilder().write(), [])
    repository.set_head("refs/heads/work")
    (root / "pyproject.toml").write_text(PROJECT)
    (root / "conf").mkdir()
    (root / "conf" / "globals.yaml").write_text(json.dumps(SETTINGS))
    (root / "conf" / "locals.yaml").write_text("{}")
    (root / "catalog.yaml").write_text("[]")
    return Session()


def main():
    theirs = dict(Backend.backends())
    register(leading_slash=True)
    ours, found, whole = Backend.backends(), {}, session()
    for path in PATHS:
        for label, one, other in (("theirs", theirs, ours), ("ours", ours, theirs)):
            fragment = urlparse(f"{path}/{label}.csv")
            one[fragment.scheme](session=whole).put(payload=label.encode(), fragment=fragment)
            found[f"{label} {fragment.scheme}"] = other[fragment.scheme](session=whole).get(fragment=fragment).decode()
    whole._lakefs_repo = {"name": "nowhere"}
    try:
        ours["lakefs"](session=whole).put(payload=b"", fragment=urlparse("lakefs://any/x"))
    except Exception as exc:
        found["no repository"] = type(exc).__name__
    print(json.dumps(found))  # noqa: T201 - the answer


main()
