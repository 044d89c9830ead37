"""What the programs have in common: XT's own configuration file in the working folder, and a database in memory."""

import json
import os
from pathlib import Path

import mongomock
import pymongo

pymongo.MongoClient = mongomock.MongoClient  # XT's runs and jobs are records of MongoDB, which this is about nothing of

CLASS = "persistence_fsspec.faces.xt.FSSpecStore"


def configure(path, key, cls=CLASS):
    """Write XT's configuration as people do, and have XT read it."""
    Path("xt_config.yaml").write_text(
        f"""\
external-services:
    mystore: {{type: "storage", provider: "store-fsspec", path: {json.dumps(path)}, key: {json.dumps(key)}}}
    mymongo: {{type: "mongo", mongo-connection-string: "mongodb://records:27017/x"}}
xt-services: {{storage: "mystore", mongo: "mymongo"}}
providers:
    storage: {{"store-fsspec": {json.dumps(cls)}}}
general: {{username: "me", advanced-mode: true, workspace: "ws1"}}
""",
        encoding="utf-8",
    )
    from xtlib.helpers.xt_config import get_merged_config

    return get_merged_config()


def told(ask):
    """The answer, or the name of the error."""
    try:
        return ask()
    except Exception as exc:
        return type(exc).__name__


def tree(folder):
    """The files below, with what is in them."""
    return {
        os.path.relpath(os.path.join(root, name), folder): Path(root, name).read_text()
        for root, _, names in os.walk(folder)
        for name in names
    }


def make(folder, **files):
    """A folder with files in it; two underscores stand for a slash."""
    for name, text in files.items():
        path = Path(folder, name.replace("__", "/"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder
