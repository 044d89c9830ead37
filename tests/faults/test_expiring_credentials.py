"""A long job outlives its credentials: the driver is made anew with new ones, and the operation repeated."""

from __future__ import annotations

import threading
from urllib.parse import urlsplit

import pytest

from persistence_fsspec import AuthenticationError, FSSpecPersistence, Policy
from persistence_fsspec.errors import CredentialsExpiredError
from persistence_fsspec.secret import SecretReference
from tests.servers.faults_http import HttpFaults

_EXPIRED = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"""


class ShortLived(HttpFaults):
    """An S3 server whose session tokens are good for so many requests each, as AWS' are for so many minutes."""

    def __init__(self, port, *, good_for):
        super().__init__(port)
        self._good_for, self._used, self._lock_used = good_for, {}, threading.Lock()
        self.refused = 0

    def _exchange(self, request, client):
        token = request.headers.get("x-amz-security-token", "")
        with self._lock_used:
            self._used[token] = self._used.get(token, 0) + 1
            good = token and self._used[token] <= self._good_for
            self.refused += not good
        if good:
            return super()._exchange(request, client)
        head = f"HTTP/1.1 400 Bad Request\r\nContent-Type: application/xml\r\nContent-Length: {len(_EXPIRED)}\r\n\r\n"
        client.sendall(head.encode() + (b"" if request.method == "HEAD" else _EXPIRED))
        return True


@pytest.fixture
def short_lived(s3_server):
    with ShortLived(urlsplit(s3_server.endpoint_url).port, good_for=30) as proxy:
        yield proxy


def options(short_lived, token):
    return {"endpoint_url": f"http://127.0.0.1:{short_lived.port}", "key": "testing", "secret": "testing", "token": token}


@pytest.fixture
def tree(tmp_path):
    for number in range(40):
        (tmp_path / f"{number}.txt").write_bytes(f"{number}".encode() * 100)
    return tmp_path


@pytest.mark.server("s3")
def test_a_long_job_outlives_its_tokens(short_lived, s3_server, tree, tmp_path_factory):
    """Forty files there and back, over tokens that are good for thirty requests each."""
    asked = []

    def fresh(url):
        asked.append(url)
        return options(short_lived, f"token-{len(asked)}")

    persistence = FSSpecPersistence("s3://test-bucket/expiring", storage_options=fresh, policy=Policy(attempts=1))
    report = persistence.put(tree, "tree", recursive=True)
    back = tmp_path_factory.mktemp("back")
    persistence.get("tree", back, recursive=True)

    assert len(report.copied) == 40
    assert {p.name: p.read_bytes() for p in back.iterdir()} == {p.name: p.read_bytes() for p in tree.iterdir()}
    assert len(asked) > 2
    assert short_lived.refused > 0


@pytest.mark.server("s3")
def test_a_reference_is_looked_up_again(short_lived, monkeypatch):
    """A token that another program keeps fresh, in the environment or a file, needs no function."""
    monkeypatch.setenv("SHORT_LIVED_TOKEN", "token/0001/of-a-reference")
    given = options(short_lived, SecretReference(env="SHORT_LIVED_TOKEN"))
    persistence = FSSpecPersistence("s3://test-bucket/expiring", storage_options=given, policy=Policy(attempts=1))
    persistence.write_bytes("k", b"x")
    monkeypatch.setenv("SHORT_LIVED_TOKEN", "token/0002/of-a-reference")
    for _ in range(40):
        persistence.exists("k")

    assert persistence.read_bytes("k") == b"x"


@pytest.mark.server("s3")
@pytest.mark.parametrize("act", [lambda p: p.exists("k"), lambda p: list(p.listdir()), lambda p: p.write_bytes("k", b"y")],
                         ids=["head", "list", "write"])  # fmt: skip
def test_a_token_that_nobody_renews_is_an_error_of_its_name(short_lived, act):
    """Also where the answer to a HEAD cannot say why."""
    persistence = FSSpecPersistence("s3://test-bucket/expiring", storage_options=options(short_lived, "token/0003/only-one"))
    persistence.write_bytes("k", b"x")
    with pytest.raises(CredentialsExpiredError, match="expired"):
        for _ in range(60):
            act(persistence)


@pytest.mark.server("s3")
def test_wrong_keys_are_not_called_denied(strict_s3_server):
    """A HEAD says 403 to both; what is wrong with them is asked for."""
    given = {**strict_s3_server.storage_options, "secret": "wrong"}
    persistence = FSSpecPersistence(f"{strict_s3_server.url}/x", storage_options=given)

    with pytest.raises(AuthenticationError):
        persistence.exists("k")
