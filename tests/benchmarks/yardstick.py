"""The measuring server: S3 as far as clients need it, in memory, without authentication, and faster than any of them.

It is built when it is needed, from `fasts3.cpp` beside this file, by the g++ of this machine and with OpenSSL's headers.
"""

from __future__ import annotations

import contextlib
import http.client
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).with_name("fasts3.cpp")
BUCKET = "bench"


class NoYardstickError(Exception):
    """It cannot be built here."""


class Yardstick:
    """A running server.

    Args:
        port: Where, on this machine.
    """

    def __init__(self, port: int) -> None:
        self.port, self.url = port, f"http://127.0.0.1:{port}"

    def answer_after(self, milliseconds: float) -> None:
        """Wait so long before each answer, from now on."""
        self._ask("GET", f"/__ctl?lat={milliseconds}")

    def fill(self, prefix: str, files: int, body: bytes) -> None:
        """Store so many objects of the same bytes, twenty to a folder."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        for number in range(files):
            connection.request("PUT", f"/{BUCKET}/{prefix}/d{number // 20}/f{number}", body)
            connection.getresponse().read()
        connection.close()

    def put(self, key: str, body: bytes) -> None:
        """Store one object."""
        self._ask("PUT", f"/{BUCKET}/{key}", body)

    def _ask(self, method: str, path: str, body: bytes | None = None) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request(method, path, body)
        connection.getresponse().read()
        connection.close()


@contextlib.contextmanager
def yardstick() -> Iterator[Yardstick]:
    """Build and run it, in a temporary folder.

    Raises:
        NoYardstickError: There is no compiler, or it fails.
    """
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        raise NoYardstickError("the measuring server needs a C++ compiler (g++), and there is none")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "fasts3"
        command = [compiler, "-O2", "-std=c++17", "-w", "-pthread", str(SOURCE), "-o", str(program), "-lcrypto"]
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        if built.returncode:
            raise NoYardstickError(f"the measuring server cannot be built (it needs libssl-dev):\n{built.stderr[-500:]}")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = subprocess.Popen([str(program), str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _await(port)
            yield Yardstick(port)
        finally:
            process.kill()
            process.wait()


def _await(port: int) -> None:
    until = time.monotonic() + 5
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > until:
                raise NoYardstickError("the measuring server does not answer") from None
            time.sleep(0.02)
        else:
            return
