"""What somebody meant by an option that a driver does not know.

A typing error is near a known name. A name that another driver uses stands for
an idea, such as the endpoint, for which each driver has its own word, or none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from persistence_fsspec.spelling import POSSIBLE, nearest
from persistence_fsspec.stores.known import Known

_CONCEPTS: Final[Mapping[str, tuple[str, ...]]] = {
    "endpoint": (
        "endpoint_url",
        "endpoint",
        "base_url",
        "url",
        "api_endpoint",
        "endpoint_override",
        "account_host",
        "account_url",
    ),
    "host": ("host", "hostname", "server", "address", "namenode"),
    "port": ("port",),
    "user": ("username", "user", "login", "user_name"),
    "password": ("password", "passwd", "passphrase", "pass"),
    "key": ("key", "access_key", "access_key_id", "aws_access_key_id", "account_name", "account"),
    "secret": ("secret", "secret_key", "secret_access_key", "aws_secret_access_key", "account_key"),
    "token": ("token", "session_token", "aws_session_token", "sas_token", "bearer_token", "credential", "credentials"),
    "key file": ("key_filename", "client_keys", "key_file", "keyfile", "private_key", "identity_file", "pkey"),
    "host key": ("known_hosts", "host_key_policy", "host_keys"),
    "anonymous": ("anon", "anonymous", "no_sign_request"),
    "region": ("region", "region_name", "aws_region", "location"),
    "profile": ("profile", "profile_name", "aws_profile"),
    "timeout": ("timeout", "connect_timeout", "read_timeout", "connection_timeout", "request_timeout", "requests_timeout"),
    "verify": ("verify", "ssl_verify", "verify_ssl", "ca_bundle", "use_ssl", "tls", "ssl", "use_https"),
    "proxy": ("proxy", "proxies"),
    "block size": ("block_size", "blocksize", "default_block_size", "chunk_size", "part_size"),
    "project": ("project", "project_id"),
}
"""Idea -> the names that people use for it."""

_IN_URL: Final = "the host stands in the URL, as in {0}://host/folder, or in the option 'host'"
_SSH: Final[Mapping[str, str]] = {
    "endpoint": _IN_URL.format("sftp"),
    "key": "'username'",
    "secret": "'password'",
    "host": "'host'",
    "user": "'username'",
    "password": "'password'",
}
_WEB: Final[Mapping[str, str]] = {"key": "'username'", "secret": "'password'", "user": "'username'", "password": "'password'"}

_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "s3fs": {
        "endpoint": "'endpoint_url'",
        "host": "'endpoint_url', with http:// or https:// in front of the host",
        "key": "'key'",
        "secret": "'secret'",
        "user": "'key'",
        "password": "'secret'",
        "token": "'token'",
        "anonymous": "'anon'",
        "region": "client_kwargs={'region_name': ...}",
        "timeout": "config_kwargs={'connect_timeout': ..., 'read_timeout': ...}",
        "verify": "client_kwargs={'verify': ...}, or 'use_ssl'",
        "proxy": "config_kwargs={'proxies': {...}}",
        "block size": "'default_block_size'",
    },
    "gcsfs": {
        "endpoint": "'endpoint_url'",
        "host": "'endpoint_url'",
        "key": "'token', which is the path of a key file, or a mapping",
        "secret": "'token', which is the path of a key file, or a mapping",
        "key file": "'token', which takes the path of a key file",
        "anonymous": "'token', with the value 'anon'",
        "region": "'default_location'",
        "proxy": "session_kwargs={'trust_env': True} and the environment variable HTTPS_PROXY",
    },
    "adlfs": {
        "endpoint": "'account_host' (the host alone), or 'connection_string', which may hold BlobEndpoint=...",
        "host": "'account_host'",
        "key": "'account_name'",
        "user": "'account_name'",
        "secret": "'account_key'",
        "password": "'account_key'",
        "token": "'sas_token', or 'credential'",
        "anonymous": "'anon'",
        "timeout": "'timeout', 'connection_timeout' and 'read_timeout'",
        "block size": "'blocksize'",
    },
    "ftp": {**_SSH, "endpoint": _IN_URL.format("ftp"), "verify": "'tls'"},
    "paramiko": {**_SSH, "key file": "'key_filename'", "host key": "'host_key_policy'"},
    "sshfs": {**_SSH, "key file": "'client_keys'", "host key": "'known_hosts'", "timeout": "'connect_timeout'"},
    "smb": {
        **_SSH,
        "endpoint": "the host stands in the URL, as in smb://host/share/folder, or in the option 'host'",
        "verify": "'encrypt'",
    },
    "webdav": {
        **_WEB,
        "endpoint": "'base_url'",
        "host": "'base_url'",
        "token": "headers={'Authorization': 'Bearer ...'}",
        "verify": "'verify'",
        "block size": "'chunk_size'",
    },
    "http": {
        **_WEB,
        "endpoint": "the URL itself says where: http://host:port/folder",
        "host": "the URL itself says where: http://host:port/folder",
        "port": "the URL itself says where: http://host:port/folder",
        "token": "client_kwargs={'headers': {'Authorization': 'Bearer ...'}}",
        "timeout": "client_kwargs={'timeout': aiohttp.ClientTimeout(...)}",
        "verify": "'ssl'",
    },
    "hdfs-native": {
        "endpoint": _IN_URL.format("hdfs"),
        "host": "'host'",
        "user": "the environment variable HADOOP_USER_NAME",
        "key": "the environment variable HADOOP_USER_NAME",
        "timeout": "a name of Hadoop's own configuration, with its dots",
        "block size": "'dfs.blocksize'",
    },
    "pyarrow": {
        "endpoint": _IN_URL.format("hdfs"),
        "host": "'host'",
        "user": "'user'",
        "key": "'user'",
        "token": "'kerb_ticket'",
        "block size": "extra_conf={'dfs.blocksize': ...}",
    },
    "webhdfs": {
        "endpoint": _IN_URL.format("webhdfs"),
        "host": "'host'",
        "user": "'user'",
        "password": "'password'",
        "key": "'user'",
        "secret": "'password'",
        "verify": "'session_verify'; 'use_https' turns TLS on",
        "proxy": "'data_proxy'",
    },
    "local": {"endpoint": "files of this machine have no endpoint"},
    "memory": {"endpoint": "memory has no endpoint"},
}
"""Driver -> idea -> its own word. What begins with a quote is the name of an option."""


def suggestion(name: str, driver: str, known: Known) -> str:
    """What to say after "unknown option": what was probably meant, as half a sentence; empty when nobody can tell.

    Args:
        name: The unknown option.
        driver: A value of `quirks.DRIVERS`.
        known: What the driver knows.
    """
    near = nearest(name, known.names)
    if near is not None:
        return f"did you mean {near!r}?"
    word = _WORDS.get(driver, {}).get(_concept(name) or "")
    if word is not None:
        # A sentence of its own stands as it is; an option is what was meant.
        return f"did you mean {word}?" if word[0] == "'" or "={" in word or "='" in word else word
    for outer, names in known.nested.items():
        inner = nearest(name, names() or ())
        if inner is not None:
            return f"did you mean {outer}={{{inner!r}: ...}}?"
    near = nearest(name, known.names, POSSIBLE)
    return "" if near is None else f"did you mean {near!r}?"


def _concept(name: str) -> str | None:
    spellings = {spelling: idea for idea, names in _CONCEPTS.items() for spelling in names}
    found = nearest(name, spellings)
    return None if found is None else spellings[found]
