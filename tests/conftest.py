"""Fixtures: real servers, started once per session, each in an environment of its own."""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import os
import shutil
import signal
import sys
import tempfile
import warnings
from pathlib import Path

import pytest

pytest.register_assert_rewrite("persistence_fsspec.testing")

from persistence_fsspec.stores import opening  # after the registration above
from persistence_fsspec.stores.janitor import settle
from tests.servers.process import NotInstalled, ServerUnavailable

# Both read their environment at import, or keep what they find there.
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
for _name in [
    n
    for n in os.environ
    if n.startswith(("AWS_", "AZURE_", "GOOGLE_", "FSSPEC_", "PERSISTENCE_FSSPEC_")) and not n.endswith(("_SOAK", "_SOURCE"))
]:
    del os.environ[_name]

# Journals of transfers under test are no business of whoever runs the tests.
os.environ["PERSISTENCE_FSSPEC_STATE_DIR"] = _state = tempfile.mkdtemp(prefix="persistence-fsspec-state-")
atexit.register(shutil.rmtree, _state, ignore_errors=True)

# What fails on purpose is repeated as often as ever, and sooner.
os.environ["PERSISTENCE_FSSPEC_BACKOFF_SECONDS"] = "0.01"

# Each S3 client reads the same descriptions from botocore's package: a fifth of a second, and much memory. Here, only the first.
with contextlib.suppress(ImportError):
    from botocore.loaders import JSONFileLoader

    _read = functools.cache(JSONFileLoader().load_file)
    JSONFileLoader.load_file = lambda _, path: _read(path)

# A shell lets what runs in its background ignore Ctrl-C, and what that starts would ignore it, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_EXCUSED = Path(__file__).parent.parent / ".ci" / "required"


def pytest_collection_finish(session):
    """Build what the chosen tests will need; a module names in BUILT_AHEAD what it has besides servers."""
    if session.config.option.collectonly:
        return
    gc.collect()
    gc.freeze()  # tests and libraries stay: looking through them again and again, for what can go, takes a minute in all
    servers = {name for item in session.items for mark in item.iter_markers("server") for name in mark.args}
    modules = dict.fromkeys(getattr(item, "module", None) for item in session.items)
    others = [build for module in modules for build in getattr(module, "BUILT_AHEAD", ())]
    if servers or others:
        from tests.servers.ahead import build_ahead

        build_ahead(servers, others)


@pytest.fixture(scope="module", autouse=True)
def _let_go():
    """A process keeps the stores it has opened; a file of tests leaves none of them, nor their connections, to the next."""
    yield
    if opening._stores:
        opening._stores.clear()
        with warnings.catch_warnings():  # of attempts that were given up while they were connecting
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
        settle()


def _excused(name: str) -> bool:
    """Whether .ci/required says that this machine may lack the program that a server needs."""
    if not _EXCUSED.exists():
        return False
    lines = [line.split("#")[0].split() for line in _EXCUSED.read_text().splitlines()]
    return any(line and line[0] == name and line[1:] in ([], [sys.platform]) for line in lines)


def server_fixture(name: str, serve):
    """A session-wide server; where it cannot be had, tests skip with the reason, and fail in CI."""

    @pytest.fixture(scope="session", name=name)
    def fixture(tmp_path_factory):
        context = serve(tmp_path_factory.mktemp(name))
        try:
            server = context.__enter__()
        except ServerUnavailable as exc:
            if os.environ.get("CI") and not (isinstance(exc, NotInstalled) and _excused(name)):
                pytest.fail(f"{name}: {exc}")
            pytest.skip(f"{name}: {exc}")
        yield server
        context.__exit__(None, None, None)

    return fixture


def _s3(folder):
    from tests.servers import s3

    return s3.serve(folder)


def _strict_s3(folder):
    from tests.servers import s3

    return s3.serve_strict(folder)


def _ftp(folder):
    from tests.servers import ftp

    return ftp.serve(folder)


def _ftp_list(folder):
    from tests.servers import ftp

    return ftp.serve(folder, mlsd=False)


def _http(folder):
    from tests.servers import http

    return http.serve(folder)


def _webdav(folder):
    from tests.servers import webdav

    return webdav.serve(folder)


def _gcs(folder):
    from tests.servers import gcs

    return gcs.serve(folder)


def _azure(folder):
    from tests.servers import azure

    return azure.serve(folder)


def _sftp(folder):
    from tests.servers import sftp

    return sftp.serve(folder)


def _lakefs(folder):
    from tests.servers import lakefs

    return lakefs.serve(folder)


s3_server = server_fixture("s3_server", _s3)
strict_s3_server = server_fixture("strict_s3_server", _strict_s3)
ftp_server = server_fixture("ftp_server", _ftp)
ftp_list_server = server_fixture("ftp_list_server", _ftp_list)
http_server = server_fixture("http_server", _http)
webdav_server = server_fixture("webdav_server", _webdav)
gcs_server = server_fixture("gcs_server", _gcs)
azure_server = server_fixture("azure_server", _azure)
sftp_server = server_fixture("sftp_server", _sftp)
lakefs_server = server_fixture("lakefs_server", _lakefs)
