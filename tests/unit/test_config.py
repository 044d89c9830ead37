"""Where options come from, and which win."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import fsspec.config
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persistence_fsspec import FSSpecPersistence, InvalidOptionError
from persistence_fsspec.config import OptionSource, merged
from persistence_fsspec.configcheck import TUNING
from persistence_fsspec.configfile import file_sources
from persistence_fsspec.configtables import config_file
from persistence_fsspec.diagnosis.configuration import template, validate
from persistence_fsspec.layers.layer import Layer
from persistence_fsspec.location import parse
from persistence_fsspec.secret import SecretReference


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """A home and a working folder of nobody's."""
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / ".config"))
    monkeypatch.delenv("PERSISTENCE_FSSPEC_CONFIG", raising=False)
    monkeypatch.delenv("PERSISTENCE_FSSPEC_PROFILE", raising=False)
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


@pytest.fixture
def own(places):
    """Writes the user's own file."""

    def write(text):
        path = config_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def here(text):
    """Write the file of the working folder."""
    path = Path("persistence.toml")
    path.write_text(text, encoding="utf-8")
    return path


def options(persistence, url):
    """What holds for a URL, from all places."""
    return persistence._addresses.options(parse(url))


def values(url, **more):
    """The same, for somebody who says nothing."""
    protocol = url.partition("://")[0]
    return dict(options(FSSpecPersistence(f"{protocol}://elsewhere", **more), url).values)


# --- the keyword ------------------------------------------------------------------------------------------------------


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


def test_what_is_meant_for_https_is_not_sent_in_the_clear():
    """Flat, nested, and inside a chain; and the other way round each has its own."""
    headers = {"headers": {"Authorization": "Bearer x"}}
    flat = FSSpecPersistence("https://h", storage_options=headers)
    nested = FSSpecPersistence(storage_options={"https": headers, "http": {"ssl": False}})

    assert [flat.options_for(f"{protocol}://h") for protocol in ("https", "http")] == [headers, {}]
    assert [nested.options_for(f"{protocol}://h") for protocol in ("https", "http")] == [headers, {"ssl": False}]
    assert options(flat, "zip://x::http://h/a.zip").links["http"].values == {}
    assert options(flat, "zip://x::https://h/a.zip").links["https"].values == headers


def test_fsspecs_configuration_of_https_is_not_sent_in_the_clear(monkeypatch):
    """Neither by us, nor by fsspec itself when it makes the instance."""
    pytest.importorskip("aiohttp")
    monkeypatch.setitem(fsspec.config.conf, "https", {"headers": {"Authorization": "Bearer x"}})

    assert values("http://h") == {}
    assert values("https://h") == {"headers": {"Authorization": "Bearer x"}}
    for protocol, sent in (("http", {}), ("https", {"Authorization": "Bearer x"})):
        store, _ = FSSpecPersistence(f"{protocol}://127.0.0.1:1").store_and_key("x")
        while isinstance(store, Layer):
            store = store.inner
        assert store._driver.connections._make().kwargs.get("headers", {}) == sent


def test_an_option_that_is_a_mapping_is_not_nesting():
    """client_kwargs is no protocol."""
    options = {"client_kwargs": {"verify": False}}

    assert FSSpecPersistence("s3://b", storage_options=options).options_for("s3://b") == options


def test_a_function_is_asked_once_per_root():
    """A new answer would mean a new connection, so it is only asked for when the old one no longer does."""
    asked = []

    def options(url):
        asked.append(url)
        return {"token": len(asked)}

    persistence = FSSpecPersistence("s3://b/x", storage_options=options)

    assert persistence.options_for("s3://b") == {"token": 1}
    assert persistence.options_for("s3://b") == {"token": 1}
    assert persistence.options_for("s3://c") == {"token": 2}
    assert asked == ["s3://b", "s3://c"]


def test_answers_stay_in_their_process():
    """A pickle asks again where it arrives."""
    persistence = FSSpecPersistence("memory://b", storage_options=answer)
    persistence.options_for("memory://")
    twin = pickle.loads(pickle.dumps(persistence))

    assert persistence._answers._said
    assert not twin._answers._said


def answer(url):
    """Of a module, so that it can be pickled."""
    return {}


def test_flat_options_without_a_prefix_are_refused():
    """Nobody could say whose they are."""
    with pytest.raises(InvalidOptionError, match="default_prefix"):
        FSSpecPersistence(storage_options={"key": "k"})


def test_no_secret_in_repr():
    """Neither the URL's password nor the options."""
    text = repr(FSSpecPersistence("ftp://me:hunter2@host/x", storage_options={"password": "hunter2"}))

    assert "hunter2" not in text
    assert "host/x" in text


@pytest.mark.parametrize("wrong", [["endpoint_url"], "anon", {3: "x"}, {"s3": {3: "x"}}])
def test_wrong_shapes_are_refused(wrong):
    """In words, and without the values, which may be secrets."""
    with pytest.raises(InvalidOptionError, match=r"must be a mapping|are strings, not int"):
        FSSpecPersistence("s3://b", storage_options=wrong).exists("x")


def test_a_function_must_return_a_mapping():
    """What it returned is said by its type alone."""
    with pytest.raises(InvalidOptionError, match="must be a mapping, not str") as caught:
        FSSpecPersistence("s3://b", storage_options=lambda url: "hunter2").exists("x")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("given", [{"s3": {"anon": True}}, lambda url: {"s3": {"anon": True}}])
def test_the_links_of_a_chain_have_their_own(given):
    """Nested options find the link they are meant for."""
    found = options(FSSpecPersistence(storage_options=given), "zip://::s3://b/a.zip")

    assert "anon" not in found.values
    assert dict(found.links["s3"].values) == {"anon": True}


def test_flat_options_reach_their_protocol_inside_a_chain():
    """An archive in the bucket of the default prefix is read with the bucket's options."""
    found = options(FSSpecPersistence("s3://b", storage_options={"anon": True}), "zip://x::s3://b/a.zip")

    assert dict(found.links["s3"].values) == {"anon": True}


# --- precedence -------------------------------------------------------------------------------------------------------

SOURCES = ("keyword", "url", "own", "here", "fsspec")


@pytest.mark.parametrize(("upper", "lower"), list(itertools.combinations(range(5), 2)))
def test_each_place_wins_over_those_below(upper, lower, own, monkeypatch):
    """Two places disagree on one option, and each adds one that the other leaves open."""
    value = {"keyword": 2201, "url": 2202, "own": 2203, "here": 2204, "fsspec": 2205}
    both = {SOURCES[upper], SOURCES[lower]}
    # The URL names host and port, the working folder only tunes: each pair meets in an option that both may name.
    name = "block_size" if "here" in both else "port"
    said = {place: {name: value[place]} for place in both}
    if both == {"url", "here"}:
        said["here"], name = {"block_size": 2204}, "port"
    if "own" in both:
        own(f"[stores.ftp]\n{name} = {value['own']}\n")
    if "here" in both:
        here(f"[stores.ftp]\nblock_size = {value['here']}\n")
    if "fsspec" in both:
        monkeypatch.setitem(fsspec.config.conf, "ftp", said["fsspec"])
    url = f"ftp://host:{value['url']}/x" if "url" in both else "ftp://host/x"
    keyword = said["keyword"] if "keyword" in both else None
    found = options(FSSpecPersistence("ftp://elsewhere", storage_options=keyword), url)

    assert found.values[name] == value[SOURCES[upper]]
    words = {"keyword": "storage_options", "url": "the URL", "fsspec": "fsspec's configuration"}
    words |= {"own": "persistence.toml [stores.ftp]", "here": "persistence.toml [stores.ftp]"}
    assert found.origins[name].endswith(words[SOURCES[upper]])


def test_the_password_of_the_url_comes_before_the_file(own):
    """Whoever writes it there means it."""
    own('[stores.ftp]\npassword = "from the file"\nacct = "kept"\n')
    found = values("ftp://me:from-the-url@host/x")

    assert found == {"host": "host", "username": "me", "password": "from-the-url", "acct": "kept"}


NAMES = st.sampled_from(["key", "secret", "client_kwargs", "anon"])
SAID = st.dictionaries(NAMES, st.one_of(st.integers(), st.dictionaries(NAMES, st.integers(), max_size=2)))


@given(st.lists(SAID, max_size=4))
def test_one_option_is_one_value_of_the_first_that_names_it(said):
    """Whatever stands in it: nested mappings are replaced whole."""
    sources = [OptionSource(str(place), one) for place, one in enumerate(said)]
    found = merged(sources)

    for name in {name for one in said for name in one}:
        first = next(place for place, one in enumerate(said) if name in one)
        assert found.values[name] == said[first][name]
        assert found.origins[name] == str(first)
    assert set(found.values) == set(found.origins) == {name for one in said for name in one}


# --- persistence.toml -------------------------------------------------------------------------------------------------


def test_the_longest_prefix_holds_alone(own):
    """Nothing is added from a shorter one: its credentials belong to another endpoint."""
    own(
        """
        [stores.s3]
        endpoint_url = "https://one.example"
        secret = "of one"
        [stores."s3://bucket"]
        key = "bucket"
        [stores."s3a://bucket/deep/er"]
        key = "deeper"
        """
    )

    assert values("s3://other/x") == {"endpoint_url": "https://one.example", "secret": "of one"}
    assert values("s3://bucket") == values("s3a://bucket/deep/error") == {"key": "bucket"}
    assert values("s3://bucket/deep/er") == values("s3://bucket//deep/er/x") == {"key": "deeper"}
    assert values("s3://bucketful/x") == values("s3://other/x")


def test_a_prefix_holds_for_keys_below_the_default_prefix(own):
    """It is the whole URL that counts, however it was written."""
    own('[stores."s3://b/a"]\nkey = "for a"\n[stores.s3]\nkey = "for all"\n')
    persistence = FSSpecPersistence("s3://b")

    assert supply(persistence, "a/x") == {"key": "for a"}
    assert supply(persistence, "ab/x") == {"key": "for all"}
    assert supply(persistence.child("a"), "x") == {"key": "for a"}


def supply(persistence, key):
    """The options a connection for this key would be made with, those of ours aside."""
    store, _ = persistence.store_and_key(key)
    while isinstance(store, Layer):
        store = store.inner
    taken = store._driver.connections._make._supply.take()
    return {name: value for name, value in taken.items() if name != "use_listings_cache"}


@pytest.mark.parametrize(
    ("table", "url", "holds"),
    [
        ("ftp://HOST", "ftp://host/x", True),
        ("ftp://host", "ftp://me@host/x", True),
        ("ftp://you@host", "ftp://me@host/x", False),
        ("ftp://host:2121", "ftp://host/x", False),
        ("sftp://host", "sftp://host:22/x", True),
        ("ssh://me@host:22", "sftp://me@host/x", True),
        ("sftp://host", "sftp://host:2222/x", False),
        ("https://h:443/a", "https://h/a/b", True),
        ("https://h", "https://h:443/a", True),
        ("http://h", "http://h:443/a", False),
        ("ftp://[1:2:3:4:5:6:7:8]", "ftp://[1:2:3:4:5:6:7:8]:21/x", True),
        ("ftp://[1:2:3:4:5:6:7:21]", "ftp://[1:2:3:4:5:6:7]/x", False),
        ("http://host/a b", "http://host/a%20b/c?q=1", True),
        ("https://host", "http://host/x", False),
        ("http://host", "https://host/x", False),
        ("s3://", "s3a://b/x", True),
        ("abfs://box", "abfs://box@account.dfs.core.windows.net/x", False),
        ("file:///data", "file:///data/x", True),
        ("file:///data", "file:///database/x", False),
        ("file:///b", "file:///a@b/x", False),
        ("file:///", "local:///a@b/x", True),
        ("memory://b", "memory://a@b/x", False),
    ],
)
def test_prefixes_are_compared_as_places(own, table, url, holds):
    """Hosts in any case, with or without a user, and no half names."""
    own(f'[stores."{table}"]\nblock_size = 7\n')

    assert bool(file_sources(url)) is holds


def test_a_profile_comes_below_the_keyword(own):
    """It fills what the keyword leaves open."""
    own('[profiles.work.s3]\nendpoint_url = "http://127.0.0.1:1"\nkey = "from the profile"\n')
    persistence = FSSpecPersistence("s3://b", profile="work", storage_options={"key": "mine"})

    assert options(persistence, "s3://b").values == {"endpoint_url": "http://127.0.0.1:1", "key": "mine"}


def test_a_profile_stands_in_place_of_the_stores(own, monkeypatch):
    """Chosen by keyword or environment; the keyword wins."""
    own('[stores.s3]\nanon = true\n[profiles.work.s3]\nkey = "w"\n[profiles.home."s3://b"]\nkey = "h"\n')

    assert values("s3://b/x") == {"anon": True}
    assert values("s3://b/x", profile="work") == {"key": "w"}
    monkeypatch.setenv("PERSISTENCE_FSSPEC_PROFILE", "home")
    assert values("s3://b/x") == {"key": "h"}
    assert values("s3://c/x") == {}
    assert values("s3://b/x", profile="work") == {"key": "w"}


def test_an_unknown_profile_names_those_there_are(own):
    """With the file it looked in."""
    own("[profiles.work.s3]\n")

    with pytest.raises(InvalidOptionError, match=r"persistence\.toml has no profile 'wrok'; it has: work\nDid you mean 'work'"):
        FSSpecPersistence("s3://b", profile="wrok").exists("x")


def test_a_profile_without_a_file_says_where_it_would_be():
    """The way out begins there."""
    with pytest.raises(InvalidOptionError, match=r"~/\.config/persistence-fsspec/persistence\.toml does not exist"):
        FSSpecPersistence("s3://b", profile="work").exists("x")


def test_a_changed_file_is_read_again(own):
    """And only a changed one."""
    path = own('[stores.s3]\nkey = "old"\n')
    first = file_sources("s3://b")[0].options

    assert file_sources("s3://b")[0].options is first
    path.write_text('[stores.s3]\nkey = "the new one"\n')
    assert file_sources("s3://b")[0].options == {"key": "the new one"}


WRONG = {
    "[store.s3]": r"store means nothing here\nDid you mean \[stores",
    "[s3]": r"s3 means nothing here\nDid you mean \[stores\.s3\]",
    "stores = 3": "stores is not a table",
    "[stores]\nendpoint_url = 'x'": "an option needs a protocol",
    "[stores.s33]": r"no driver is known for s33://\nDid you mean 's3",
    "[stores.s3]\n[stores.s3a]": r"\[stores\.s3a\]: names the same as \[stores\.s3\]",
    "[stores.'s3://b']\n[stores.'s3a://b/']": "names the same",
    "[stores.'zip://x::s3://b/a.zip']": "a chain has no options",
    "[stores.'ftp://me:hunter2@host']": "a password stands in the name",
    "[profiles.work]\nkey = 'x'": "an option needs a protocol",
    "[profiles]\nwork = 1": r"profiles\.work is not a table",
    "[stores.s3]\nsecret = { env = 'A', file = 'B' }": "not quite a reference",
    "[stores.s3]\nsecret = { command = 'pass show' }": "not quite a reference",
    "[stores.s3]\nunchecked = 1": "is not a table of options",
    "[stores.s3]\nsecret = hunter2": "is not TOML",
    "[stores.s3]\n[stores.s3]": "is not TOML",
    f"stores = {'[' * 9000}{']' * 9000}": "is not TOML of options",
    f"[stores.s3]\n{'a.' * 300}a = 1": "is not TOML of options",
    "[stores.s3]\nx = [" + "{a.a.a.a.a.a.a.a.a = [\n" * 5 + "]}" * 5 + "]": "is not TOML of options",
    "[stores.s3]\n#" + "x" * 2**20: "is larger than 1024 KiB",
}


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
def test_a_wrong_file_is_named_with_the_way_out(own, text):
    """Also by `validate`, which tells all at once; and no value of it is shown."""
    own(text)
    with pytest.raises(InvalidOptionError, match=WRONG[text]) as caught:
        FSSpecPersistence("s3://b").exists("x")

    assert "~/.config/persistence-fsspec/persistence.toml" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert [p for p in validate() if str(p) in str(caught.value)]
    assert not any("hunter2" in f"{problem} {problem.hint}" for problem in validate())


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_a_file_that_cannot_be_read_is_named(own, content):
    """Bytes that are no text; a folder under its name."""
    path = own("")
    path.unlink()
    path.mkdir() if content is None else path.write_bytes(content)

    with pytest.raises(InvalidOptionError, match=r"persistence\.toml: (is not UTF-8|cannot be read)"):
        FSSpecPersistence("s3://b").exists("x")


def test_a_named_file_must_exist(monkeypatch, places):
    """Somebody meant it."""
    monkeypatch.setenv("PERSISTENCE_FSSPEC_CONFIG", str(places / "missing.toml"))

    with pytest.raises(InvalidOptionError, match=r"missing\.toml, which PERSISTENCE_FSSPEC_CONFIG names, does not exist"):
        FSSpecPersistence("s3://b").exists("x")


def test_references_are_only_read():
    """A program is not run, and a variable not looked up, to know which options hold."""
    here_is_nothing = {"env": "NOT_SET_ANYWHERE"}
    path = config_file()
    path.parent.mkdir(parents=True)
    path.write_text('[stores.s3]\nsecret = { env = "NOT_SET_ANYWHERE" }\nclient_kwargs = { x = { command = ["false"] } }\n')
    found = values("s3://b")

    assert found["secret"] == SecretReference(**here_is_nothing)
    assert found["client_kwargs"] == {"x": SecretReference(command=("false",))}


def test_the_template_is_a_file_that_says_nothing(own):
    """And every line that it proposes is right."""
    path = own(template())
    assert values("s3://b") == {}
    proposed = [line.removeprefix("#") for line in template().splitlines() if not line.startswith("# ")]
    path.write_text("\n".join(proposed))

    assert [str(problem) for problem in validate()] == []
    assert values("s3://other-bucket/project/x") == {"anon": True}


def test_validate_compares_with_what_the_drivers_know(own):
    """All tables, of all profiles, at once."""
    own("[stores.s3]\nenpoint_url = 'x'\n[profiles.w.ftp]\nenpoint_url = 'x'\nunchecked = { odd = 1 }\n")
    found = [f"{problem}" for problem in validate()]

    assert len(found) == 2
    assert "[stores.s3]: unknown option 'enpoint_url' for s3 (s3fs); did you mean 'endpoint_url'?" in found[0]
    assert "[profiles.w.ftp]" in found[1]


# --- the file in the working folder -----------------------------------------------------------------------------------

STRANGERS = [
    'endpoint_url = "https://evil.example"',
    'key = "k"',
    'secret = { env = "HOME" }',
    'host = "evil.example"',
    "anon = true",
    "verify = false",
    "tls = false",
    'client_kwargs = { endpoint_url = "https://evil.example" }',
    "client_kwargs = { verify = false }",
    'client_kwargs = { region_name = "x.evil.example/" }',
    'client_kwargs = { region_name = { command = ["touch", "pwned"] } }',
    'config_kwargs = { proxies = { https = "https://evil.example" } }',
    'client_kwargs = { region_name = "eu-west-1" }',
    "client_kwargs = {}",
    "requester_pays = true",
    "version_aware = true",
    "use_listings_cache = true",
    'encoding = "latin-1"',
    'filesystem_factory = "os:system"',
    "unchecked = { block_size = 1 }",
    'cache_storage = "/home/me"',
    'profile = "admin"',
]


@pytest.mark.parametrize("line", STRANGERS)
@pytest.mark.parametrize("table", ["stores.s3", "profiles.work.s3"])
def test_a_stranger_cannot_say_where_to_connect_or_as_whom(line, table):
    """A repository may hold such a file; it may only tune."""
    here(f"[{table}]\n{line}\n")
    name = line.partition(" ")[0]

    with pytest.raises(InvalidOptionError) as caught:
        FSSpecPersistence("s3://b").exists("x")
    text = str(caught.value)
    assert f"[{table}] {name}" in text
    assert "persistence.toml" in text
    assert "Move it to ~/.config/persistence-fsspec/persistence.toml" in text
    assert "evil" not in text
    assert not Path("pwned").exists()


def test_a_stranger_may_tune(own):
    """Below the user's own file."""
    here('[stores.s3]\ndefault_block_size = 1\nmax_concurrency = 3\ndefault_fill_cache = false\ndefault_cache_type = "none"\n')
    own("[stores.s3]\ndefault_block_size = 2\n")
    tuned = {"max_concurrency": 3, "default_fill_cache": False, "default_cache_type": "none"}

    assert values("s3://b/x") == {"default_block_size": 2, **tuned}


@pytest.mark.parametrize("value", ["{ env = 'HOME' }", "[1]", "'https://evil.example'", "'a b'", "''", "'\\u001b'", "2026-01-01"])
def test_a_stranger_tunes_with_numbers_and_words(value):
    """Nothing else fits where only sizes and names of caches stand."""
    here(f"[stores.s3]\nblock_size = {value}\n".replace("'", '"'))

    with pytest.raises(InvalidOptionError, match=r"\[stores\.s3\] block_size: takes a number, true or false, or a word"):
        FSSpecPersistence("s3://b").exists("x")


def test_a_stranger_takes_nothing_out_of_fsspecs_configuration(monkeypatch):
    """A mapping is replaced whole: with it would go the endpoint, and credentials would be sent to somebody else."""
    monkeypatch.setitem(fsspec.config.conf, "s3", {"client_kwargs": {"endpoint_url": "http://127.0.0.1:1"}, "key": "mine"})
    here('[stores.s3]\nclient_kwargs = { region_name = "us-east-1" }\n')

    with pytest.raises(InvalidOptionError, match=r"\[stores\.s3\] client_kwargs: .* may only tune"):
        values("s3://b")


def test_a_stranger_cannot_define_a_profile(own, monkeypatch):
    """Who asks for one means a set of credentials of his own, and must hear that there is none."""
    here("[profiles.prod.s3]\nblock_size = 1\n")
    with pytest.raises(
        InvalidOptionError, match=r"~/\.config/.* does not exist\n.*working folder's persistence\.toml does not count"
    ):
        values("s3://b", profile="prod")
    own('[profiles.work.s3]\nkey = "w"\n')
    monkeypatch.setenv("PERSISTENCE_FSSPEC_PROFILE", "prod")
    with pytest.raises(InvalidOptionError, match="has no profile 'prod'; it has: work\n") as caught:
        values("s3://b")
    assert "does not count" in caught.value.hint


def test_a_stranger_may_tune_a_profile(own):
    """One that the user has."""
    here("[profiles.work.s3]\nblock_size = 1\n")
    own('[profiles.work.ftp]\nusername = "w"\n')

    assert values("s3://b", profile="work") == {"block_size": 1}


@pytest.mark.parametrize(
    "text",
    [
        '["stores"."s3"]\n"key\\u001b]0;owned\\u0007" = 1',
        '["stores"."s3://b\\u001b[2J"]\nkey = 1',
        '[stores.s3.block_size]\n"\\u009b2J" = 1',
        '["\\u001b[2J"]',
        '["stores\\u001b[2J"]',
        '[stores."s3\\u001b"]\nkey = 1',
        '[stores]\n"\\u202egnp.exe" = 1',
        '[profiles]\n"\\u001b[2J" = 1',
        '[profiles."\\u001b[2J".s3]\nkey = 1',
        '[stores."s3://me:hunter2@b\\u001b"]',
    ],
    ids=range(10),
)
def test_names_of_a_file_steer_no_terminal(text):
    """Control characters and those that turn the direction of writing are shown as TOML escapes them."""
    here(text)
    found = "".join(f"{problem}{problem.hint}" for problem in validate())

    assert found
    assert found.isprintable()
    with pytest.raises(InvalidOptionError) as caught:
        FSSpecPersistence("s3://b").exists("x")
    assert str(caught.value).replace("\n", "").isprintable()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("what", ["pipe", "/dev/zero", "/dev/stdin", "folder"])
def test_only_a_regular_file_is_read(what, tmp_path):
    """A pipe is not waited for, a device not read to its end, and standard input not eaten."""
    path = Path("persistence.toml")
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to(what)
    code = (
        "import sys; from persistence_fsspec import FSSpecPersistence\n"
        "try: FSSpecPersistence('ftp://127.0.0.1:1').exists('x')\n"
        "except Exception as exc: print(type(exc).__name__, exc)\n"
        "print(sys.stdin.read())"
    )
    ran = subprocess.run([sys.executable, "-c", code], input="kept", capture_output=True, text=True, timeout=60, check=True)

    kind = "a folder" if what == "folder" else "a pipe or a device"
    assert f"InvalidOptionError {path.absolute()}: cannot be read: it is {kind}, not a file" in ran.stdout
    assert ran.stdout.endswith("kept\n")


def test_the_null_device_is_an_empty_file(monkeypatch):
    """The usual way to say that no file shall hold."""
    monkeypatch.setenv("PERSISTENCE_FSSPEC_CONFIG", os.devnull)

    assert values("s3://b") == {}


def test_what_a_stranger_may_say_names_no_place_and_no_credential():
    """The list is read by eye; this catches the worst slip of the pen."""
    suspicious = ("key", "secret", "token", "pass", "host", "url", "endpoint", "verify", "ssl", "tls", "user", "factory")

    assert not [name for name in TUNING for word in suspicious if word in name]


def test_the_users_own_file_may_lie_in_the_working_folder(monkeypatch):
    """When the environment says so, it holds anything, and is read once."""
    path = here('[stores.s3]\nendpoint_url = "https://mine.example"\n')
    monkeypatch.setenv("PERSISTENCE_FSSPEC_CONFIG", str(path))

    assert values("s3://b/x") == {"endpoint_url": "https://mine.example"}
    assert len(file_sources("s3://b/x")) == 1


def test_fsspecs_configuration_is_of_all_its_protocols(monkeypatch):
    """As fsspec itself would apply it."""
    monkeypatch.setitem(fsspec.config.conf, "s3a", json.loads('{"anon": true}'))

    assert values("s3://b/x") == {"anon": True}


def test_a_misspelt_reference_is_no_option(tmp_path):
    """The driver would get a table in place of a password."""
    file = tmp_path / "persistence.toml"
    file.write_text('[stores.s3]\nsecret = { evn = "MINIO_SECRET" }\nclient_kwargs = { verify = false }\n')

    found = validate(file)

    assert [(problem.where, problem.hint) for problem in found] == [("[stores.s3] secret", "Did you mean 'env'?")]
