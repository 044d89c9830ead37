"""The proxies that count, forbid, flip bits and swap objects do just that."""

from __future__ import annotations

import ftplib
import io
import re
from http.client import HTTPConnection

import pytest

from tests.servers.faults import Fault
from tests.servers.faults_bits import FtpCorruption, HttpCorruption, flipped
from tests.servers.meter import FtpMeter, HttpMeter
from tests.servers.process import HOST
from tests.servers.s3 import _headers

BODY = bytes(range(256)) * 1000


def ask(port, method, target, body=None, **headers):
    client = HTTPConnection(HOST, port, timeout=10.0)
    client.request(method, target, body, headers={**_headers("s3"), **headers})
    answer = client.getresponse()
    found = answer.status, answer.read()
    client.close()
    return found


def ftp(port, server):
    client = ftplib.FTP()
    client.connect(HOST, port, timeout=10.0)
    client.login(server.storage_options["username"], server.storage_options["password"])
    client.voidcmd("TYPE I")
    return client


@pytest.mark.server("s3")
def test_http_meter_counts_contents_and_nothing_else(s3_server):
    """Bodies of objects both ways, whole or chunked; headers and listings apart."""
    with HttpMeter(s3_server.process.port) as meter:
        target = f"/{s3_server.bucket}/metered"
        assert ask(meter.port, "PUT", target, BODY)[0] == 200
        assert ask(meter.port, "GET", target) == (200, BODY)
        assert ask(meter.port, "GET", target, Range="bytes=0-9") == (206, BODY[:10])
        assert ask(meter.port, "HEAD", target) == (200, b"")
        assert ask(meter.port, "GET", f"/{s3_server.bucket}?list-type=2&prefix=metered")[0] == 200
        meter.settle()
        traffic = meter.traffic
        assert (traffic.up, traffic.down, traffic.requests) == (len(BODY), len(BODY) + 10, 5)
        assert traffic.by_name == {"metered": 2 * len(BODY) + 10}
        assert 0 < traffic.other < 10_000


@pytest.mark.server("s3")
def test_http_meter_tells_of_moments_and_forbids(s3_server):
    """Before and after each request; what is forbidden never reaches the server."""
    told = []
    with HttpMeter(s3_server.process.port, forbidden=lambda method, target: "secret" in target) as meter:
        meter.alert = told.append
        assert ask(meter.port, "PUT", f"/{s3_server.bucket}/told", b"x")[0] == 200
        assert ask(meter.port, "PUT", f"/{s3_server.bucket}/secret", b"x")[0] == 403
    assert told == [f"before PUT /{s3_server.bucket}/told", f"after PUT /{s3_server.bucket}/told"]
    assert s3_server.raw_read("secret") is None


@pytest.mark.server("ftp")
def test_ftp_meter_counts_contents_and_nothing_else(ftp_server):
    """Data connections of files both ways; listings and commands apart."""
    told = []
    with FtpMeter(ftp_server.process.port) as meter:
        meter.alert = told.append
        client, into = ftp(meter.port, ftp_server), io.BytesIO()
        client.storbinary("STOR metered", io.BytesIO(BODY))
        client.retrbinary("RETR metered", into.write)
        assert "metered" in client.nlst()
        client.quit()
        meter.settle()
        assert (into.getvalue(), meter.traffic.up, meter.traffic.down) == (BODY, len(BODY), len(BODY))
        assert 0 < meter.traffic.other < 10_000
    assert [one for one in told if re.search("STOR", one)] == ["before STOR metered", "after STOR metered"]


@pytest.mark.server("s3")
def test_http_corruption_hits_one_bit_of_a_content(s3_server):
    """On the way there, or on the way back; the object is replaced when told."""
    target = f"/{s3_server.bucket}/corrupt"
    with HttpCorruption(s3_server.process.port) as proxy:
        proxy.arm(Fault(kind="flip-request", at=1, amount=12))
        ask(proxy.port, "PUT", target, BODY)
        assert s3_server.raw_read("corrupt") == flipped(BODY, 12)
        proxy.arm(Fault(kind="flip-answer", at=2, amount=12))
        assert ask(proxy.port, "GET", f"/{s3_server.bucket}?list-type=2")[0] == 200
        assert ask(proxy.port, "GET", target) == (200, BODY)
        proxy.swap = lambda: s3_server.raw_write("corrupt", b"other")
        proxy.arm(Fault(kind="swap", at=1, amount=0))
        assert ask(proxy.port, "GET", target) == (200, b"other")


@pytest.mark.server("ftp")
def test_ftp_corruption_hits_one_bit_of_a_content(ftp_server):
    """In the piece that reaches beyond the place."""
    with FtpCorruption(ftp_server.process.port) as proxy:
        client, into = ftp(proxy.port, ftp_server), io.BytesIO()
        proxy.arm(Fault(kind="flip-content", at=1, amount=5))
        client.storbinary("STOR corrupt", io.BytesIO(BODY))
        assert ftp_server.raw_read("corrupt") == flipped(BODY, 40)
        swapped = []
        proxy.swap = lambda: swapped.append(1)
        proxy.arm(Fault(kind="swap", at=1, amount=len(BODY) - 1))
        client.retrbinary("RETR corrupt", into.write)
        client.close()
    assert swapped == [1]
    assert into.getvalue() == flipped(BODY, 40)
