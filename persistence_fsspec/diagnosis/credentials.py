"""Whose credentials a driver would use, and where it would find them. Never shows them, and sends them nowhere."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from persistence_fsspec.diagnosis.checks import Check, ok, skipped, warning, within
from persistence_fsspec.errors import OperationTimeoutError
from persistence_fsspec.location import Location

_SECONDS: Final = 8.0
_NAME: Final = "credentials"
_FILE_NAME: Final = re.compile(r"[^\s{}\"=]{1,250}\.json")
_GIVEN: Final = (
    "key", "secret", "token", "session", "username", "user", "password", "account_key", "sas_token", "credential", "connection_string",
    "auth", "key_filename", "client_keys", "client_secret", "delegation_token", "kerberos", "kerb_ticket",
)  # fmt: skip


def credentials(driver: str, location: Location, options: Mapping[str, Any], origins: Mapping[str, str]) -> Check:
    """What the driver would use.

    Args:
        driver: As `quirks` names it.
        location: Of the store.
        options: Of its driver.
        origins: Where each option comes from.
    """
    if driver in {"local", "memory", "archive"}:
        return skipped(_NAME, "none needed")
    given = [name for name in _GIVEN if options.get(name) not in (None, "", False)]
    if options.get("anon") is True or options.get("token") == "anon":
        return ok(_NAME, f"none: anonymous, by {origins.get('anon') or origins.get('token') or 'options'}")
    if given:
        return ok(_NAME, ", ".join(f"{name} from {origins.get(name, 'options')}" for name in given))
    found = _FINDERS.get(driver)
    return found(location, options) if found else skipped(_NAME, "none given; the driver may find some by itself")


def _s3(_: Location, options: Mapping[str, Any]) -> Check:
    """By botocore's own chain; on a machine in the cloud that asks the machine's own service, which has a deadline."""
    import botocore.exceptions  # type: ignore[import-untyped]  # noqa: PLC0415 - a driver's own
    import botocore.session  # type: ignore[import-untyped]  # noqa: PLC0415

    profile = options.get("profile") or os.environ.get("AWS_PROFILE")
    try:
        found = within(_SECONDS, lambda: botocore.session.Session(profile=options.get("profile")).get_credentials())
    except botocore.exceptions.ProfileNotFound as exc:
        return warning(_NAME, str(exc), "aws configure list-profiles shows those there are.")
    except (OperationTimeoutError, botocore.exceptions.BotoCoreError) as exc:
        return warning(_NAME, f"the search did not end well: {exc}", "aws sts get-caller-identity shows more.")
    if found is None:
        return warning(
            _NAME,
            "none found: neither options, AWS_* variables, ~/.aws, nor a role of this machine",
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run aws configure; -o anon=true for public data.",
        )
    told = f"found by {found.method}{f' (profile {profile})' if profile else ''}"
    return ok(_NAME, told)


def _gcs(_: Location, __: Mapping[str, Any]) -> Check:
    named = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    if named:
        if os.path.isfile(named):  # any text is an answer; Path.is_file() raises at a long one
            return ok(_NAME, "a file named by GOOGLE_APPLICATION_CREDENTIALS")
        # Some set it to the key itself, which must not be shown.
        shown = f"names {named}" if _FILE_NAME.fullmatch(named) else "does not look like a path (its value is not shown)"
        return warning(
            _NAME,
            f"GOOGLE_APPLICATION_CREDENTIALS {shown}, and is no file",
            "Set it to the path of a key file, or unset it; a key itself belongs in a file.",
        )
    folder = Path(os.environ.get("CLOUDSDK_CONFIG", "~/.config/gcloud")).expanduser()
    if (folder / "application_default_credentials.json").is_file():
        return ok(_NAME, f"{folder / 'application_default_credentials.json'}")
    if os.environ.get("STORAGE_EMULATOR_HOST"):
        return ok(_NAME, "none: an emulator")
    return warning(
        _NAME,
        "none found on this machine; a machine of Google's has its own",
        "Run gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS; the option token set to anon opens public data.",
    )


def _azure(_: Location, __: Mapping[str, Any]) -> Check:
    names = ("CONNECTION_STRING", "ACCOUNT_KEY", "SAS_TOKEN", "CLIENT_SECRET")
    found = [f"AZURE_STORAGE_{name}" for name in names if os.environ.get(f"AZURE_STORAGE_{name}")]
    if found:
        return ok(_NAME, f"{', '.join(found)} in the environment")
    return warning(
        _NAME,
        "none given; the driver asks anonymously, or azure-identity",
        "Set AZURE_STORAGE_CONNECTION_STRING, or -o account_name=... -o anon=false to use az login.",
    )


def _ftp(_: Location, __: Mapping[str, Any]) -> Check:
    return ok(_NAME, "none: the server is asked as anonymous", "-o username=... -o password@env=VARIABLE logs in.")


def _ssh(location: Location, __: Mapping[str, Any]) -> Check:
    named = "@" in location.root
    agent = bool(os.environ.get("SSH_AUTH_SOCK"))
    keys = sorted(path.name for path in Path("~/.ssh").expanduser().glob("id_*") if path.suffix != ".pub")
    found = [*(["the agent"] if agent else []), *keys]
    who = "the user in the URL" if named else "this machine's user name"
    if found:
        return ok(_NAME, f"{who}, and a key: {', '.join(found)}")
    return warning(
        _NAME,
        f"{who}, and neither an agent nor a key in ~/.ssh",
        "-o username=... -o password@env=VARIABLE, or -o key_filename=...",
    )


def _hadoop(_: Location, __: Mapping[str, Any]) -> Check:
    cache = os.environ.get("KRB5CCNAME", "")
    user = os.environ.get("HADOOP_USER_NAME", "")
    if cache:
        return ok(_NAME, f"Kerberos tickets in {cache}")
    return ok(
        _NAME, f"no Kerberos ticket cache named; the user is {user or 'this machine’s'}", "With Kerberos: kinit, and KRB5CCNAME."
    )


_FINDERS: Final[Mapping[str, Callable[[Location, Mapping[str, Any]], Check]]] = {
    "s3fs": _s3,
    "gcsfs": _gcs,
    "adlfs": _azure,
    "ftp": _ftp,
    "paramiko": _ssh,
    "sshfs": _ssh,
    "pyarrow": _hadoop,
    "hdfs-native": _hadoop,
    "webhdfs": _hadoop,
}
