"""The parts of HDFS that no Python package brings."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from persistence_fsspec.diagnosis.checks import Check, ok, problem, skipped, warning
from persistence_fsspec.errors import MissingDriverError

_LIBRARY: Final = "libhdfs.dylib" if sys.platform == "darwin" else "libhdfs.so"


def native_parts(driver: str) -> Iterator[Check]:
    """Java, Hadoop's classes, libhdfs and tickets: what pyarrow loads; hdfs-native needs its configuration only.

    Args:
        driver: As `quirks` names it.
    """
    if driver == "pyarrow":
        yield _java()
        yield _classes()
        yield _libhdfs()
    yield _configuration()
    yield _tickets()


def _java() -> Check:
    home = os.environ.get("JAVA_HOME", "")
    if home and (Path(home) / "bin" / "java").exists():
        return ok("Java", f"JAVA_HOME is {home}")
    if home:
        return problem("Java", MissingDriverError(f"JAVA_HOME is {home}, and there is no bin/java in it"), "Correct JAVA_HOME.")
    found = shutil.which("java")
    if found:
        real = Path(found).resolve().parent.parent
        return problem(
            "Java", MissingDriverError("JAVA_HOME is not set, and pyarrow finds Java by nothing else"), f"export JAVA_HOME={real}"
        )
    return problem("Java", MissingDriverError("there is no Java"), "Install a Java runtime, and set JAVA_HOME.")


def _classes() -> Check:
    if os.environ.get("CLASSPATH"):
        return ok("Hadoop classes", f"CLASSPATH has {len(os.environ['CLASSPATH'].split(os.pathsep))} entries")
    command = shutil.which("hadoop")
    home = os.environ.get("HADOOP_HOME", "")
    if command is None and home and (Path(home) / "bin" / "hadoop").exists():
        command = str(Path(home) / "bin" / "hadoop")
    if command:
        return ok("Hadoop classes", f"CLASSPATH is not set; pyarrow asks {command}")
    error = MissingDriverError("CLASSPATH is not set, and there is no hadoop command to ask")
    return problem(
        "Hadoop classes",
        error,
        'Install a Hadoop client, set HADOOP_HOME, and export CLASSPATH="$($HADOOP_HOME/bin/hadoop classpath --glob)".',
    )


def _libhdfs() -> Check:
    folders = [
        os.environ.get("ARROW_LIBHDFS_DIR", ""),
        f"{os.environ['HADOOP_HOME']}/lib/native" if os.environ.get("HADOOP_HOME") else "",
    ]
    named = [Path(folder) for folder in folders if folder]
    for folder in named:
        if (folder / _LIBRARY).exists():
            return ok("libhdfs", str(folder / _LIBRARY))
    if named:
        error = MissingDriverError(f"there is no {_LIBRARY} in {' or '.join(map(str, named))}")
        return problem("libhdfs", error, "Set ARROW_LIBHDFS_DIR to the folder that has it.")
    return warning(
        "libhdfs", "neither ARROW_LIBHDFS_DIR nor HADOOP_HOME is set; the system's folders are searched", "Set ARROW_LIBHDFS_DIR."
    )


def _configuration() -> Check:
    folder = os.environ.get("HADOOP_CONF_DIR", "") or (
        f"{os.environ['HADOOP_HOME']}/etc/hadoop" if os.environ.get("HADOOP_HOME") else ""
    )
    if not folder:
        return skipped("Hadoop configuration", "HADOOP_CONF_DIR is not set; needed where a name stands for several name nodes")
    absent = [name for name in ("core-site.xml", "hdfs-site.xml") if not (Path(folder) / name).exists()]
    if absent:
        return warning("Hadoop configuration", f"{folder} lacks {' and '.join(absent)}", "Copy them from the cluster.")
    return ok("Hadoop configuration", folder)


def _tickets() -> Check:
    named = os.environ.get("KRB5CCNAME", "")
    kind, _, path = named.partition(":") if ":" in named else ("FILE", "", named)
    if kind != "FILE":
        return ok("Kerberos", f"tickets in {named}")
    uid = os.getuid() if hasattr(os, "getuid") else 0
    cache = Path(path or f"/tmp/krb5cc_{uid}")  # noqa: S108 - where Kerberos keeps them
    if cache.exists():
        return ok("Kerberos", f"tickets in {cache}")
    text = f"no tickets in {cache}"
    return (
        warning("Kerberos", text, "kinit gets some.")
        if named
        else skipped("Kerberos", f"{text}; a cluster without Kerberos needs none")
    )
