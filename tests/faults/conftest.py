"""Says at the end how the scenarios went."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.faults.sites import site

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


@pytest.fixture(scope="module")
def sites(request, tmp_path_factory):
    """The sites of `tests.faults.sites`, by name; those with servers are behind meters."""
    with ExitStack() as stack:
        made = {}

        def get(name):
            if name not in made:
                server = None if name == "local" else request.getfixturevalue(f"{name}_server")
                made[name] = stack.enter_context(site(name, server, tmp_path_factory.mktemp("disk")))
            return made[name]

        yield get
