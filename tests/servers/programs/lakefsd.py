"""A stand-in for lakeFS: the requests of its REST API that lakefs-spec makes, answered from memory.

It is not lakeFS, and proves nothing about a real server: it was written from what the clients send and expect. It keeps
objects per branch, copies all of them when a branch is made, and has neither commits nor merges. Run by ``lakefsd.py --port=...``.
"""

import argparse
import base64
import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

PREFIX = "/api/v1"
PAGE = 1000


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status, self.message = status, message


class Lake:
    """Repositories, their branches, and the objects on these."""

    def __init__(self):
        self.lock = threading.RLock()
        self.repositories = {}

    def branches(self, repository):
        if repository not in self.repositories:
            raise Refused(404, f"repository {repository!r} not found")
        return self.repositories[repository]

    def objects(self, repository, ref):
        branches = self.branches(repository)
        if ref not in branches:
            raise Refused(404, f"branch or ref {ref!r} not found")
        return branches[ref]

    def find(self, repository, ref, path):
        objects = self.objects(repository, ref)
        if path not in objects:
            raise Refused(404, f"object {path!r} not found")
        return objects[path]

    def make_repository(self, name, default_branch):
        if name in self.repositories:
            raise Refused(409, f"repository {name!r} already exists")
        self.repositories[name] = {default_branch: {}}

    def make_branch(self, repository, name, source):
        branches = self.branches(repository)
        if name in branches:
            raise Refused(409, f"branch {name!r} already exists")
        branches[name] = dict(self.objects(repository, source))


def described(path, stored):
    data, modified, _, metadata = stored
    return {  # without what came later: the older client refuses what it has not heard of
        "path": path,
        "path_type": "object",
        "physical_address": f"memory://{hashlib.sha1(path.encode()).hexdigest()}",
        "checksum": hashlib.md5(data).hexdigest(),
        "size_bytes": len(data),
        "mtime": int(modified),
        "metadata": metadata,
    }


def listing(objects, prefix, delimiter, after, amount):
    """One page, objects and common prefixes in one order."""
    found = {}
    for path in sorted(objects):
        if not path.startswith(prefix):
            continue
        rest = path[len(prefix) :]
        if delimiter and delimiter in rest:
            folder = prefix + rest.partition(delimiter)[0] + delimiter
            found[folder] = {"path": folder, "path_type": "common_prefix", "physical_address": "", "checksum": "", "mtime": 0}
        else:
            found[path] = described(path, objects[path])
    names = [name for name in sorted(found) if name > after]
    return page([found[name] for name in names[:amount]], names[:amount], more=len(names) > amount)


def page(results, names, more=False):
    offset = names[-1] if more else ""
    return {
        "pagination": {"has_more": more, "next_offset": offset, "results": len(results), "max_per_page": PAGE},
        "results": results,
    }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes, and the second would wait for an answer to the first
    lake = Lake()
    user = password = ""
    asked = []

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.handle_it()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def handle_it(self):
        parts = urlsplit(self.path)
        self.query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        self.body = self.received()
        if parts.path == "/requests":
            with self.lake.lock:
                asked, self.asked[:] = list(self.asked), []
            self.answer(200, asked)
            return
        self.asked.append(f"{self.command} {self.path.removeprefix(PREFIX)}")
        try:
            if not parts.path.startswith(PREFIX):
                raise Refused(404, "not part of the API")
            self.authorize()
            names = [unquote(part) for part in parts.path.removeprefix(PREFIX).strip("/").split("/")]
            with self.lake.lock:
                self.route(names)
        except Refused as exc:
            self.answer(exc.status, {"message": exc.message})

    def received(self):
        """The body, however it is sent."""
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return b"".join(pieces)

    def authorize(self):
        given = self.headers.get("Authorization", "")
        wanted = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        if given != f"Basic {wanted}":
            raise Refused(401, "error authenticating request")

    def route(self, names):
        match [self.command, *names]:
            case ["GET", "config"]:
                self.answer(200, {"version_config": {"version": "1.0.0"}, "storage_config": STORAGE})
            case ["GET", "repositories"]:
                found = [repository(name) for name in sorted(self.lake.repositories)]
                self.answer(200, page(found, []))
            case ["POST", "repositories"]:
                said = json.loads(self.body)
                self.lake.make_repository(said["name"], said.get("default_branch") or "main")
                self.answer(201, repository(said["name"]))
            case ["GET", "repositories", name]:
                self.lake.branches(name)
                self.answer(200, repository(name))
            case [method, "repositories", name, "branches", *rest] if not rest or len(rest) == 1:
                self.branches(method, name, *rest)
            case ["GET", "repositories", name, "refs", ref, "objects", "stat"]:
                path = self.query["path"]
                self.answer(200, described(path, self.lake.find(name, ref, path)))
            case ["GET", "repositories", name, "refs", ref, "objects", "ls"]:
                asked = [self.query.get(word, "") for word in ("prefix", "delimiter", "after")]
                amount = min(int(self.query.get("amount", PAGE)), PAGE)
                self.answer(200, listing(self.lake.objects(name, ref), *asked, PAGE if amount < 0 else amount))
            case ["GET" | "HEAD", "repositories", name, "refs", ref, "objects"]:
                self.read(self.lake.find(name, ref, self.query["path"]))
            case ["POST" | "DELETE" as method, "repositories", name, "branches", branch, "objects", *rest]:
                self.change(method, name, branch, *rest)
            case _:
                raise Refused(501, f"the stand-in does not know {self.command} {'/'.join(names)}")

    def branches(self, method, name, branch=None):
        branches = self.lake.branches(name)
        if method == "GET" and branch is None:
            self.answer(200, page([{"id": each, "commit_id": "c0ffee"} for each in sorted(branches)], []))
        elif method == "GET":
            self.lake.objects(name, branch)
            self.answer(200, {"id": branch, "commit_id": "c0ffee"})
        elif method == "POST":
            said = json.loads(self.body)
            self.lake.make_branch(name, said["name"], said["source"])
            self.answer(201, b"c0ffee", kind="text/html")
        elif method == "DELETE":
            self.lake.objects(name, branch)
            del branches[branch]
            self.answer(204, b"")

    def change(self, method, name, branch, *rest):
        objects = self.lake.objects(name, branch)
        if method == "POST" and not rest:
            path = self.query["path"]
            if self.headers.get("If-None-Match") == "*" and path in objects:
                raise Refused(412, "path already exists")
            kind = self.headers.get("Content-Type", "application/octet-stream")
            start = "x-lakefs-meta-"
            metadata = {key.lower()[len(start) :]: text for key, text in self.headers.items() if key.lower().startswith(start)}
            objects[path] = (unformed(self.body, kind), time.time(), kind.partition(";")[0], metadata)
            self.answer(201, described(path, objects[path]))
        elif method == "POST" and rest == ("copy",):
            said = json.loads(self.body)
            stored = self.lake.find(name, said.get("src_ref") or branch, said["src_path"])
            objects[self.query["dest_path"]] = stored
            self.answer(201, described(self.query["dest_path"], stored))
        elif method == "POST" and rest == ("delete",):
            for path in json.loads(self.body)["paths"]:
                objects.pop(path, None)
            self.answer(200, {"errors": []})
        elif method == "DELETE" and not rest:
            self.lake.find(name, branch, self.query["path"])
            del objects[self.query["path"]]
            self.answer(204, b"")
        else:
            raise Refused(501, "the stand-in does not know that change")

    def read(self, stored):
        data, _, kind, _ = stored
        headers = {"ETag": f'"{hashlib.md5(data).hexdigest()}"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        wanted = self.headers.get("Range", "")
        if not wanted:
            self.answer(200, data, kind=kind, headers=headers)
            return
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, end = (int(first), int(last) + 1 if last else len(data)) if first else (len(data) - int(last), len(data))
        if start >= len(data):
            raise Refused(416, "requested range not satisfiable")
        part = data[start:end]
        headers["Content-Range"] = f"bytes {start}-{start + len(part) - 1}/{len(data)}"
        self.answer(206, part, kind=kind, headers=headers)

    def answer(self, status, what, *, kind="application/json", headers=()):
        body = what if isinstance(what, bytes) else json.dumps(what).encode()
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status != 204:
            self.wfile.write(body)


def unformed(body, kind):
    """The object in a body; the older client sends it as the one field of a form."""
    if not kind.startswith("multipart/form-data"):
        return body
    boundary = b"--" + kind.partition("boundary=")[2].strip('"').encode()
    return body.split(boundary)[1].partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")


def repository(name):
    return {
        "id": name,
        "creation_date": 1,
        "default_branch": "main",
        "storage_namespace": f"memory://{name}",
    }


STORAGE = {
    "blockstore_type": "mem",
    "blockstore_namespace_example": "mem://",
    "blockstore_namespace_ValidityRegex": "^mem://",
    "pre_sign_support": False,
    "pre_sign_support_ui": False,
    "import_support": False,
    "import_validity_regex": ".*",
}


def main():
    parser = argparse.ArgumentParser()
    for name in ("port", "user", "password", "repository"):
        parser.add_argument(f"--{name}", required=True)
    given = parser.parse_args()
    Handler.user, Handler.password = given.user, given.password
    Handler.lake.make_repository(given.repository, "main")
    ThreadingHTTPServer(("127.0.0.1", int(given.port)), Handler).serve_forever()


if __name__ == "__main__":
    main()
