"""Says at the end how the scenarios went."""

from __future__ import annotations

import pytest

SUMMARY = pytest.StashKey[list[str]]()


def pytest_terminal_summary(terminalreporter, config):
    """One line per protocol."""
    lines = config.stash.get(SUMMARY, [])
    if lines:
        terminalreporter.section("faults")
    for line in lines:
        terminalreporter.write_line(line)


@pytest.fixture
def tell(request):
    """Takes a line for the summary."""
    return request.config.stash.setdefault(SUMMARY, []).append
