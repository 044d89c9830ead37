"""Kill the process groups that the test run had to leave behind.

Reads ``+<group>`` and ``-<group>`` lines from standard input. Its end means
that the test run is gone, however that came about: the groups still listed are
killed.
"""

import os
import signal
import sys
from contextlib import suppress


def main() -> None:
    groups: set[int] = set()
    for line in sys.stdin:
        change = groups.add if line[0] == "+" else groups.discard
        change(int(line[1:]))
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
