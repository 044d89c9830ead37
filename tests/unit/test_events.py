"""What happens inside is told: one logger, one hook."""

from __future__ import annotations

import logging
import subprocess
import sys

from persistence_fsspec import FSSpecPersistence, TransferError, on_event
from persistence_fsspec.events import emit


def test_a_record_carries_its_facts(caplog):
    """As attributes, so that nobody has to parse the text."""
    with caplog.at_level(logging.INFO, "persistence_fsspec"):
        emit("retry", "again", url="s3://b/k", attempt=2)

    record = caplog.records[0]
    assert (record.persistence_event, record.persistence_url, record.persistence_attempt) == ("retry", "s3://b/k", 2)


def test_a_hook_hears_of_a_transfer(tmp_path):
    """Its beginning, what failed, and its end."""
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").symlink_to("nowhere")
    heard = []
    end = on_event(lambda event: heard.append(event.name))
    try:
        FSSpecPersistence("memory://events").put(tmp_path, "tree", recursive=True)
    except TransferError:
        pass
    finally:
        end()

    assert heard[0] == "transfer_started"
    assert heard[-1] == "transfer_finished"


def test_a_hook_that_fails_harms_nobody(caplog):
    """It is logged, and the others hear all the same."""
    heard = []
    ends = [on_event(lambda event: 1 / 0), on_event(heard.append)]
    emit("retry", "again")
    for end in ends:
        end()

    assert [event.name for event in heard] == ["retry"]
    assert "hook failed" in caplog.text


def test_no_secret_is_told(caplog):
    """Neither in the text nor in the facts."""
    heard = []
    end = on_event(heard.append)
    with caplog.at_level(logging.DEBUG, "persistence_fsspec"):
        emit("retry", "ftp://me:hunter2@host/x failed", url="https://host/x?X-Amz-Signature=abcdef123456")
    end()

    told = caplog.text + repr([vars(record) for record in caplog.records]) + repr(heard)
    assert "hunter2" not in told
    assert "abcdef123456" not in told


def test_nothing_is_printed_unless_asked():
    """A program without logging stays quiet."""
    code = "import logging, persistence_fsspec.events as e; e.emit('x', 'loud', level=logging.ERROR)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert (done.stdout, done.stderr) == ("", "")
