"""Appending by rewriting, while answers are lost, requests arrive late, and others write: each text once, or an error."""

from __future__ import annotations

import uuid

import pytest

from persistence_fsspec import ConflictError, FSSpecPersistence, Policy
from tests.servers.faults import reset, wait_for_end
from tests.servers.faults_http import HttpFaults
from tests.servers.process import HOST

pytestmark = [pytest.mark.server("s3"), pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")]

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
POLICY = Policy(attempts=4, backoff_seconds=0.01, backoff_max_seconds=0.1, timeout_seconds=1.0, stall_seconds=0.5)


class Script(HttpFaults):
    """Does with each write of the log what stands in *plan*, one after the other; what asks for conditions is let through."""

    def __init__(self, port):
        super().__init__(port)
        self.plan, self.held = [], []

    def _exchange(self, request, client):
        if request.method == "PUT" and request.target.partition("?")[0].endswith("/log") and self.plan:
            return self.plan.pop(0)(self, request, client)
        return self._pass_on(request, client)

    def _pass_on(self, request, client):
        answer = self._ask(request)
        client.sendall(answer.head + answer.body)
        return True


def hold(script, request, client):
    """Nothing is heard of it, until it lands."""
    script.held.append(request)
    wait_for_end(client)
    reset(client)
    return False


def land(script, request, client):
    """What was held lands just before this one."""
    script._ask(script.held.pop())
    return script._pass_on(request, client)


def lose(then):
    """It is done, then something else, and the answer is lost."""

    def act(script, request, client):
        script._ask(request)
        then()
        reset(client)
        return False

    return act


def refuse(then):
    """Something else is done, and this one is not."""

    def act(script, request, client):
        then()
        head = f"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: {len(SLOW_DOWN)}\r\n\r\n"
        client.sendall(head.encode() + SLOW_DOWN)
        return True

    return act


@pytest.fixture
def script(s3_server):
    with Script(int(s3_server.endpoint_url.rpartition(":")[2])) as proxy:
        yield proxy


@pytest.fixture
def mine(s3_server, script):
    """By way of the proxy."""
    options = {**s3_server.storage_options, "endpoint_url": f"http://{HOST}:{script.port}"}
    return FSSpecPersistence(f"{s3_server.url}/{uuid.uuid4().hex}", storage_options=options, policy=POLICY)


@pytest.fixture
def theirs(s3_server, mine):
    """Straight to the server."""
    return FSSpecPersistence(mine.url(), storage_options=s3_server.storage_options)


@pytest.mark.parametrize("begun", [True, False])
def test_a_write_that_lands_late_counts_once(script, mine, theirs, begun):
    """Also the one that begins the object."""
    if begun:
        theirs.write_bytes("log", b"0\n")
    script.plan = [hold, land]

    mine.append("log", b"mine\n")

    assert theirs.read_bytes("log") == (b"0\n" if begun else b"") + b"mine\n"
    assert script.plan == []


def test_a_lost_answer_counts_once(script, mine, theirs):
    """The object knows who wrote it."""
    theirs.write_bytes("log", b"0\n")
    script.plan = [lose(lambda: None)]

    mine.append("log", b"mine\n")

    assert theirs.read_bytes("log") == b"0\nmine\n"


@pytest.mark.parametrize("text", [b"other\n", b"mine\n"])
def test_a_refusal_while_another_writes(script, mine, theirs, text):
    """Another text shows that ours is not there; the same text shows nothing, which is said."""
    theirs.write_bytes("log", b"0\n")
    script.plan = [refuse(lambda: theirs.append("log", text))]

    if text == b"mine\n":
        with pytest.raises(ConflictError, match="cannot be known"):
            mine.append("log", b"mine\n")
        assert theirs.read_bytes("log") == b"0\nmine\n"
    else:
        mine.append("log", b"mine\n")
        assert theirs.read_bytes("log") == b"0\nother\nmine\n"


def test_a_lost_answer_while_another_writes_is_said(script, mine, theirs):
    """Ours stands before theirs: it is not written again."""
    theirs.write_bytes("log", b"0\n")
    script.plan = [lose(lambda: theirs.append("log", b"other\n"))]

    with pytest.raises(ConflictError, match="cannot be known"):
        mine.append("log", b"mine\n")

    assert theirs.read_bytes("log") == b"0\nmine\nother\n"


def test_an_object_that_is_deleted_meanwhile_begins_anew(script, mine, theirs):
    """Of its old content nothing comes back."""
    theirs.write_bytes("log", b"0\n")

    def delete_first(script, request, client):
        theirs.delete("log")
        return script._pass_on(request, client)

    script.plan = [delete_first]
    mine.append("log", b"mine\n")

    assert theirs.read_bytes("log") == b"mine\n"
