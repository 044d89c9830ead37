"""The public types as a user's type checker sees them; checked by mypy and pyright strict, never run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from typing_extensions import assert_type

from persistence_fsspec import (
    Capabilities,
    DataPersistencePlugins,
    Event,
    FSSpecPersistence,
    GcOutcome,
    GcReport,
    ObjectInfo,
    ObjectNotFoundError,
    Policy,
    SecretReference,
    TransferReport,
    on_event,
)

p = FSSpecPersistence("s3://bucket/prefix", storage_options={"key": "k"}, policy=Policy(verify="readback", concurrency=4))
FSSpecPersistence(Path("here"))
FSSpecPersistence(storage_options=lambda url: {"token": url})
FSSpecPersistence("ftp://h", storage_options={"password": SecretReference(env="P")}, profile="work")
Policy(attempts=10, timeout_seconds=None, stall_seconds=5, bytes_per_second=10**7, read_only=True)

report = p.put("folder", "name", recursive=True, include="*.txt", exclude=["a", "b"], progress=True)
assert_type(report, TransferReport)
assert_type(report.bytes, int)
assert_type(report.to_json(), str)
assert_type(p.get("name", Path("folder"), recursive=True), TransferReport)
assert_type(p.exists("k"), bool)
assert_type(p.info("k"), ObjectInfo)
assert_type(p.info("k").size, "int | None")
assert_type(p.read_bytes("k", start=0, end=5), bytes)
assert_type(p.write_bytes("k", b"", overwrite=False), ObjectInfo)
assert_type(p.listdir("k"), Iterator[str])
assert_type(p.find("k", include="*.csv"), Iterator[ObjectInfo])
assert_type(p.capabilities(), Capabilities)
assert_type(p.child("k"), FSSpecPersistence)
assert_type(p.url("k"), str)
assert_type(p.sign("k", 60), str)
assert_type(p.snapshot("k"), ObjectInfo)
assert_type(p.versions("k"), Iterator[ObjectInfo])
assert_type(p.read_bytes("k", version="v"), bytes)
p.open("k", "r", version=p.snapshot("k"))
assert_type(p.gc("k", older_than="1d", foreign=True, dry_run=True), GcReport)
assert_type(p.gc(older_than=timedelta(hours=2)).removed, tuple[GcOutcome, ...])

assert_type(p.copy("a", "s3://b/a", overwrite=False, include="*.txt", progress=True), TransferReport)
assert_type(p.move("a", "b", recursive=True, exclude=["x"]), TransferReport)


async def awaiting() -> None:
    """Everything can be awaited, with the same arguments and the same answers."""
    assert_type(await p.aio.put("folder", "name", recursive=True, include="*.txt", progress=True), TransferReport)
    assert_type(await p.aio.get("name", Path("folder"), recursive=True, links="skip", preserve=["mode"]), TransferReport)
    assert_type(await p.aio.copy("a", "s3://b/a", overwrite=False), TransferReport)
    assert_type(await p.aio.move("a", "b", recursive=True), TransferReport)
    assert_type(await p.aio.sync("a", "b", delete=True, max_delete=None), TransferReport)
    assert_type(await p.aio.resume(report), TransferReport)
    assert_type(await p.aio.exists("k"), bool)
    assert_type(await p.aio.info("k"), ObjectInfo)
    assert_type(await p.aio.read_bytes("k", start=0, end=5), bytes)
    assert_type(await p.aio.write_bytes("k", b"", overwrite=False), ObjectInfo)
    await p.aio.append("k", b"")
    assert_type(await p.aio.delete("k", missing_ok=True), int)
    assert_type(await p.aio.sign("k", 60), str)
    assert_type(await p.aio.snapshot("k"), ObjectInfo)
    assert_type((await p.aio.gc("k", dry_run=True)).bytes, int)
    async for version in p.aio.versions("k"):
        assert_type(version, ObjectInfo)
    async for name in p.aio.listdir("k"):
        assert_type(name, str)
    async for found in p.aio.find("k", include="*.csv"):
        assert_type(found, ObjectInfo)


def hear(event: Event) -> None:
    """Told of events."""
    assert_type(event.name, str)


on_event(hear)()

DataPersistencePlugins.register_plugin("cf", FSSpecPersistence)

try:
    p.delete("k", missing_ok=True)
except ObjectNotFoundError as exc:
    assert_type(exc.url, str)
    assert_type(exc.retryable, bool)
    not_found: FileNotFoundError = exc
