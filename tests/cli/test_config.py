"""config init and config validate."""

from __future__ import annotations

import stat


def test_init_writes_a_first_file_and_says_where(persist, tmp_path):
    """Which is valid, and only its owner reads it."""
    said = persist("config", "init")
    path = tmp_path / "home" / ".config" / "persistence-fsspec" / "persistence.toml"

    assert said.code == 0, said.err
    assert said.out == f"{path}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "[stores.s3]" in path.read_text()
    assert persist("config", "validate").code == 0
    assert str(path) in persist("config", "validate", "--json").json["files"]


def test_init_replaces_nothing(persist, tmp_path, monkeypatch):
    """What somebody wrote stays."""
    monkeypatch.setenv("PERSISTENCE_FSSPEC_CONFIG", str(tmp_path / "mine.toml"))
    (tmp_path / "mine.toml").write_text("# mine\n")
    said = persist("config", "init")

    assert said.code == 1
    assert "config validate" in said.err
    assert (tmp_path / "mine.toml").read_text() == "# mine\n"


def test_validate_names_every_problem_with_its_way_out(persist, tmp_path):
    """Exit code 2; the values, which may be secrets, are not shown."""
    path = tmp_path / "x.toml"
    path.write_text('[stores.s3]\nendpont_url = "https://x"\nsecrt = "hunter2hunter2"\n')
    said, told = persist("config", "validate", path), persist("config", "validate", path, "--json")

    assert (said.code, told.code) == (2, 2)
    assert len(told.json["problems"]) == 2
    assert "endpoint_url" in said.out
    assert "->" in said.out
    assert "hunter2hunter2" not in said.out + said.err + told.out
    assert persist("config", "validate", tmp_path / "none.toml").code == 4


def test_a_profile_is_used(persist, tmp_path, monkeypatch):
    """And explained."""
    path = tmp_path / "x.toml"
    monkeypatch.setenv("PERSISTENCE_FSSPEC_CONFIG", str(path))
    path.write_text('[profiles.work.s3]\nendpoint_url = "https://work.example"\n')
    said = persist("explain", "s3://b", "--profile", "work")

    assert said.code == 0, said.err
    assert "https://work.example" in said.out
    assert "profile  work" in said.out
    assert "work.example" not in persist("explain", "s3://b").out


def test_nothing_to_validate_is_nothing_wrong(persist):
    """And is said."""
    said = persist("config", "validate")

    assert said.code == 0
    assert "no persistence.toml" in said.out


def test_the_help_of_each_command_is_a_whole_sentence(persist):
    """Nothing is cut off."""
    said = persist("config", "--help")

    assert "init" in said.out
    assert "..." not in said.out.partition("Commands:")[2]


def test_a_broken_file_is_told_with_its_place(persist, tmp_path, monkeypatch):
    """Line and column, and which command checks it."""
    path = tmp_path / "x.toml"
    path.write_text('[stores.s3]\nkey = "hunter2hunter2\n')
    monkeypatch.setenv("PERSISTENCE_FSSPEC_CONFIG", str(path))
    said, checked = persist("ls", "s3://b"), persist("config", "validate", path)

    assert (said.code, checked.code) == (2, 2)
    assert "line 2" in said.err
    assert "line 2" in checked.out
    assert "config validate" in said.err
    assert "hunter2" not in said.err + checked.out
