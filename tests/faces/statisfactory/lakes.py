"""Artifacts on lakeFS's stand-in, by the backends with and without statisfactory's errors; prints what happened, as JSON."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlparse
from urllib.request import urlopen

sys.path.insert(0, str(Path(__file__).parent))  # isolated interpreters do not have it
import standin

sys.modules.update(standin.modules())

from lakefs_spec import LakeFSFileSystem  # noqa: E402

from persistence_fsspec.faces.statisfactory import Backend, register  # noqa: E402 - the stand-in comes first

ENDPOINT, USER, PASSWORD = sys.argv[1:]
FRAGMENT = urlparse("lakefs://whatever/dir/a #1?b.csv")


def session(branch, *, pointer="lake", slug="", password=PASSWORD):
    """As statisfactory's, on that branch of git."""
    settings = {
        "lakefs_access_key": USER,
        "lakefs_secret_access_key": password,
        "lakefs_endpoint": ENDPOINT,
        "project_slug": slug,
    }
    known = {"lakefs_repo": {"name": pointer}} if pointer else {}
    git = {"git": SimpleNamespace(head=SimpleNamespace(shorthand=branch))} if branch else {}
    return SimpleNamespace(settings=settings, **known, **git)


def asked():
    """The requests since the last time, without their parameters."""
    with urlopen(f"{ENDPOINT}/requests") as answer:  # noqa: S310 - our own server
        return [each.partition("?")[0].replace("/repositories/lake", "") for each in json.load(answer)]


def told(do, *arguments, **options):
    """What came of it, as text, and what it asked for."""
    asked()
    try:
        found = do(*arguments, **options)
    except Exception as exc:
        cause = type(exc.__cause__).__name__
        return {"error": type(exc).__name__, "text": str(exc), "cause": cause, "asked": asked()}
    return {"found": found.decode() if isinstance(found, bytes) else found, "asked": asked()}


def operations(cls):
    def put(payload, whose, fragment=FRAGMENT, **context):
        return told(cls(session=whose).put, payload=payload, fragment=fragment, **context)

    def get(whose, fragment=FRAGMENT, **context):
        return told(cls(session=whose).get, fragment=fragment, **context)

    return put, get


def main():
    put, get = operations(Backend.backends()["lakefs"])
    found = {
        "first": put(b"one", session("feat/x")),
        "second": put(b"two", session("feat/x")),
        "read": get(session("feat/x")),
        "main": get(session("main")),
        "by lake_ref": get(session("main"), lake_ref="feat-x"),
        "to lake_ref": put(b"three", session("main"), lake_ref="other"),
        "backslash": put(b"four", session("back\\slash")),
        "no branch": get(session("never/made")),
        "no lake": get(session("main", pointer="nowhere")),
        "by slug": get(session("feat/x", pointer="", slug="lake")),
        "by host": get(session("", pointer=""), urlparse("lakefs://lake/dir/none"), lake_ref="main"),
        "no git": get(session("")),
        "slug rule": get(session("feat_y")),
        "bad lake_ref": put(b"", session("main"), lake_ref="a/b"),
        "odd lake_ref": put(b"", session("main"), lake_ref=["a"]),
    }
    register("lakefs")
    put, get = operations(standin.Backend.backends()["lakefs"])
    found["theirs"] = {
        "read": get(session("feat/x")),
        "missing": get(session("main")),
        "no repository": put(b"", session("main2", pointer="nowhere")),
        "refused": put(b"", session("main", password="wr0ng-secret")),
        "slug rule": put(b"", session("feat_y")),
        "dash first": put(b"", session("-x")),
        "odd repository": put(b"", session("main", pointer="my_project")),
    }
    found["kept"] = len(LakeFSFileSystem._cache)
    print(json.dumps(found))  # noqa: T201 - the answer


main()
