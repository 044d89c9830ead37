"""Where options come from, and which win."""

from __future__ import annotations

import pytest

from persistence_fsspec import FSSpecPersistence, InvalidOptionError


def test_flat_options_are_the_default_prefixs():
    """And nobody else's."""
    persistence = FSSpecPersistence("s3://b/x", storage_options={"key": "k"})

    assert persistence.options_for("s3://other") == {"key": "k"}
    assert persistence.options_for("s3a://other") == {"key": "k"}
    assert persistence.options_for("ftp://host") == {}


def test_nested_options_are_by_protocol():
    """Aliases share theirs."""
    persistence = FSSpecPersistence(storage_options={"s3": {"key": "k"}, "gs": {"token": "t"}})

    assert persistence.options_for("s3://b") == {"key": "k"}
    assert persistence.options_for("gcs://b") == {"token": "t"}
    assert persistence.options_for("ftp://h") == {}


def test_an_option_that_is_a_mapping_is_not_nesting():
    """client_kwargs is no protocol."""
    options = {"client_kwargs": {"verify": False}}

    assert FSSpecPersistence("s3://b", storage_options=options).options_for("s3://b") == options


def test_a_function_is_asked_with_the_url():
    """Each time, so that it may give new credentials."""
    asked = []

    def options(url):
        asked.append(url)
        return {"token": len(asked)}

    persistence = FSSpecPersistence("s3://b/x", storage_options=options)

    assert persistence.options_for("s3://b") == {"token": 1}
    assert persistence.options_for("s3://b") == {"token": 2}


def test_flat_options_without_a_prefix_are_refused():
    """Nobody could say whose they are."""
    with pytest.raises(InvalidOptionError, match="default_prefix"):
        FSSpecPersistence(storage_options={"key": "k"})


def test_a_profile_comes_below_the_keyword(tmp_path, monkeypatch):
    """It fills what the keyword leaves open."""
    file = tmp_path / "persistence.toml"
    file.write_text('[profiles.work.s3]\nendpoint_url = "http://127.0.0.1:1"\nkey = "from the profile"\n')
    monkeypatch.setenv("PERSISTENCE_FSSPEC_CONFIG", str(file))
    persistence = FSSpecPersistence("s3://b", profile="work", storage_options={"key": "mine"})

    assert persistence.options_for("s3://b") == {"endpoint_url": "http://127.0.0.1:1", "key": "mine"}


def test_an_unknown_profile_names_those_there_are(tmp_path, monkeypatch):
    """With the file it looked in."""
    file = tmp_path / "persistence.toml"
    file.write_text("[profiles.work.s3]\n")
    monkeypatch.setenv("PERSISTENCE_FSSPEC_CONFIG", str(file))

    with pytest.raises(InvalidOptionError, match="it has: work"):
        FSSpecPersistence("s3://b", profile="home").options_for("s3://b")


def test_no_secret_in_repr():
    """Neither the URL's password nor the options."""
    text = repr(FSSpecPersistence("ftp://me:hunter2@host/x", storage_options={"password": "hunter2"}))

    assert "hunter2" not in text
    assert "host/x" in text
