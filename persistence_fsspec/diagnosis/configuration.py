"""``persistence.toml`` looked at as a whole: everything wrong in it, and a first one to begin with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from persistence_fsspec.config import OptionSource, merged
from persistence_fsspec.configcheck import problems
from persistence_fsspec.configfile import Table, load, tables_of
from persistence_fsspec.configtables import Problem, candidates, display
from persistence_fsspec.errors import InvalidOptionError, PersistenceError
from persistence_fsspec.stores.opening import driver_class
from persistence_fsspec.stores.strict import unknown

__all__ = ["Problem", "template", "validate"]


def validate(path: Path | None = None) -> list[Problem]:
    """All that is wrong in the user's files, each with its way out.

    Options are compared with what the installed drivers know; those of a driver that is not installed are not.

    Args:
        path: One file, taken for the user's own. Without it, all that would be read.

    Returns:
        Nothing when all is well, or there is no file.
    """
    files = [(path, True)] if path is not None else [file for file in candidates() if file[0].exists()]
    return [problem for file, own in files for problem in _of_file(file, own=own)]


def _of_file(path: Path, *, own: bool) -> Iterator[Problem]:
    try:
        data = load(path)
    except InvalidOptionError as exc:
        yield Problem(path, "", exc.message.removeprefix(f"{display(path)}: "), exc.hint)
        return
    found = list(problems(data, path, own=own))
    yield from found
    if found:  # what its tables mean is not certain
        return
    for table in tables_of(data):
        yield from _of_table(table, path)


def _of_table(table: Table, path: Path) -> Iterator[Problem]:
    try:
        cls = driver_class(table.protocol)
        wrong = unknown(cls, table.protocol, merged([OptionSource("storage_options", table.options)]))
    except PersistenceError:
        return
    for error in wrong:
        yield Problem(path, table.header, error.message, error.hint)


_TEMPLATE: Final = """\
# Options for stores, read by persistence-fsspec. `persist config validate` checks this file; `persist explain URL` shows
# what comes of it. What the program says itself, and what stands in a URL, comes before; fsspec's configuration and the
# environment come after. Remove the "#" in front of a line to use it.

# One table for each protocol. The options are those of its driver.
#[stores.s3]
#endpoint_url = "https://minio.example"
#key = { env = "MINIO_KEY" }                       # secrets are better referred to than written down:
#secret = { command = ["pass", "show", "minio"] }  # by env, file or command
#client_kwargs = { region_name = "eu-west-1" }

# A table for everything below a URL. The one with the longest prefix holds ALONE: nothing is added from shorter ones.
#[stores."s3://other-bucket/project"]
#anon = true

#[stores."sftp://host.example"]
#username = "me"
#key_filename = "/home/me/.ssh/id_ed25519"

# A profile stands in place of all [stores]: persist --profile work, FSSpecPersistence(url, profile="work"), or
# PERSISTENCE_FSSPEC_PROFILE=work.
#[profiles.work.s3]
#endpoint_url = "https://storage.work.example"

# Your own function makes the filesystem, for any kind of authentication: function(url, **the other options).
#[stores."s3://with-a-login-of-our-own"]
#filesystem_factory = "ourpackage.login:filesystem"

# Options that the driver is known to take, and this program does not know, are given without a look.
#[stores."s3://experiments"]
#unchecked = { new_option = 1 }
"""


def template() -> str:
    """A first ``persistence.toml``: all of it comments, so that it changes nothing."""
    return _TEMPLATE
