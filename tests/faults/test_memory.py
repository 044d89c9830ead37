"""What transfers need of memory, whatever their size: measured in a process of their own, by the system.

A soak has the full sizes.
"""

from __future__ import annotations

import contextlib
import filecmp
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from persistence_fsspec.testing.strategies import SOAK
from tests.benchmarks.yardstick import SOURCE
from tests.faults import many_entries
from tests.faults.child import Call, run
from tests.faults.sites import write_large
from tests.servers import s3
from tests.servers.process import HOST, ServerProcess, free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak is what Linux says of a process"),
]

MIB = 1024 * 1024
MAX_MEMORY, ABOVE_IDLE = 64 * MIB, 128 * MIB
FILES, SIZE = (200 if SOAK else 40), 10_000_000
LARGE = (1024 if SOAK else 192) * MIB
ENTRIES, ENTRIES_MEMORY = (1_000_000 if SOAK else 50_000), 300 * MIB


@pytest.fixture(scope="module")
def roomy_s3(request, tmp_path_factory):
    """An S3 server that swallows gigabytes quickly, where a compiler can make it; else the usual one."""
    with contextlib.ExitStack() as stack:
        folder = tmp_path_factory.mktemp("fast-s3")
        program = compiled(folder)
        if program is None:
            yield request.getfixturevalue("s3_server")
            return
        port = free_port()
        process = stack.enter_context(ServerProcess([program, str(port)], port=port, log=folder / "server.log"))
        endpoint = f"http://{HOST}:{port}"
        options = {"key": "any", "secret": "any", "endpoint_url": endpoint}
        server = s3.S3Server(url="s3://", storage_options=options, process=process, endpoint_url=endpoint, bucket="")
        yield server.new_bucket(s3.BUCKET)


def compiled(folder):
    """The fast server's program; None where it cannot be made."""
    compiler = shutil.which("g++")
    if compiler is None:
        return None
    program = folder / "fasts3"
    command = [compiler, "-O2", "-std=c++17", "-w", "-pthread", SOURCE, "-o", program, "-lcrypto"]
    done = subprocess.run(command, capture_output=True, check=False)
    return program if done.returncode == 0 else None


@pytest.fixture
def measured(roomy_s3, tmp_path, tell):
    """Runs a transfer and gives its memory above idle, in bytes."""
    small = tmp_path / "small"
    small.write_bytes(random.Random("small").randbytes(1000))

    def do(what, **call):
        where = {"prefix": roomy_s3.url, "options": roomy_s3.storage_options, "warm_up": str(small)}
        done = run(Call(policy={"max_memory": MAX_MEMORY}, **where, **call), tmp_path / "state")
        assert done.status == 0, f"{done.said} {done.errors}"
        assert done.said["idle"] > 0
        above = done.said["peak"] - done.said["idle"]
        seconds = done.said["transfer_seconds"]
        tell(f"memory, {what}: {above / MIB:.0f} MiB above the {done.said['idle'] / MIB:.0f} of an idle process, {seconds:.1f} s")
        return above

    yield do
    for key in roomy_s3.raw_keys("memory/"):
        roomy_s3.raw_delete(key)


@pytest.mark.server("s3")
def test_many_files_need_little_memory(measured, roomy_s3, tmp_path):
    """Files of 10 MB, up and down, under a budget of 64 MiB."""
    # Given many files of one content,
    there, back = f"{roomy_s3.url}/memory/many", tmp_path / "back"
    source = tmp_path / "many"
    write_large(source / "000.bin", SIZE, "many")
    for number in range(1, FILES):
        os.link(source / "000.bin", source / f"{number:03}.bin")

    # when they are sent and fetched, each in a process of its own,
    up = measured(f"{FILES} x 10 MB up", operation="put", source=str(source), target=there, recursive=True)
    down = measured(f"{FILES} x 10 MB down", operation="get", source=there, target=str(back), recursive=True)

    # then neither used much more than the budget, and all came back.
    assert max(up, down) < ABOVE_IDLE
    assert sum(filecmp.cmp(path, back / path.name, shallow=False) for path in source.iterdir()) == FILES


@pytest.mark.server("s3")
def test_a_large_file_needs_little_memory(measured, roomy_s3, tmp_path):
    """One file, many times as large as the budget, up and down."""
    there, source, back = f"{roomy_s3.url}/memory/large", tmp_path / "large", tmp_path / "back"
    write_large(source, LARGE, "large")

    up = measured(f"{LARGE // MIB} MiB up", operation="put", source=str(source), target=there)
    down = measured(f"{LARGE // MIB} MiB down", operation="get", source=there, target=str(back))

    assert max(up, down) < ABOVE_IDLE
    assert filecmp.cmp(source, back, shallow=False)


WRITING = """
import json, sys
from pathlib import Path
from persistence_fsspec import FSSpecPersistence

def kilobytes(name):
    return int(next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)).split()[1])

url, options, size = json.load(sys.stdin)
p = FSSpecPersistence(url, storage_options=options)
p.write_bytes("warm", b"x" * 20_000_000)
data = b"x" * size
Path("/proc/self/clear_refs").write_text("5")
before = kilobytes("VmRSS")
p.write_bytes("whole", data)
with p.open("opened", "wb") as file:
    file.write(data)
print((kilobytes("VmHWM") - before) * 1024)
"""


@pytest.mark.server("s3")
def test_bytes_need_little_memory_besides_themselves(roomy_s3, tell):
    """Given at once, to `write_bytes` or to an open file, they are not copied as a whole."""
    said = json.dumps([f"{roomy_s3.url}/memory/bytes", roomy_s3.storage_options, LARGE])
    done = subprocess.run([sys.executable, "-c", WRITING], input=said, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    tell(f"memory, {LARGE // MIB} MiB of bytes: {int(done.stdout) / MIB:.0f} MiB besides themselves")

    assert int(done.stdout) < ABOVE_IDLE
    for key in roomy_s3.raw_keys("memory/"):
        roomy_s3.raw_delete(key)


def test_very_many_entries_need_little_memory(tmp_path, tell):
    """Planned, compared and journaled, twice: the second run knows that nothing is to be done."""
    # Given stores of very many entries, when a transfer runs twice in one process,
    environment = {
        **os.environ,
        "PERSISTENCE_FSSPEC_STATE_DIR": str(tmp_path / "state"),
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        "PYTHONHASHSEED": "0",
    }
    command = [sys.executable, many_entries.__file__, str(ENTRIES)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=3600, check=False)
    assert done.returncode == 0, done.stderr
    first, second = map(json.loads, done.stdout.splitlines())
    for name, one in (("first", first), ("second", second)):
        rate = ENTRIES / one["seconds"]
        tell(
            f"{ENTRIES:,} entries, {name} run: {one['peak'] / MIB:.0f} MiB at most, {one['seconds']:.1f} s, {rate:,.0f} per second"
        )

    # then everything is done, once, and the memory stayed small.
    assert (first["copied"], first["skipped"], first["failed"]) == (ENTRIES, 0, 0)
    assert (second["copied"], second["skipped"], second["failed"]) == (0, ENTRIES, 0)
    assert first["resumable"]
    assert max(first["peak"], second["peak"]) < ENTRIES_MEMORY
