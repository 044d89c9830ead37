"""How long a server asks to wait, wherever a client library keeps it."""

from __future__ import annotations

import copy
import pickle
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from persistence_fsspec.errors import ObjectNotFoundError, ThrottledError
from persistence_fsspec.foreign import retry_after, translate, translated


def botocore_error(headers):
    from botocore.exceptions import ClientError

    lower = {name.lower(): value for name, value in headers.items()}
    metadata = {"HTTPStatusCode": 503, "HTTPHeaders": lower}
    return ClientError({"Error": {"Code": "SlowDown"}, "ResponseMetadata": metadata}, "GetObject")


def aiohttp_error(headers):
    import aiohttp
    from multidict import CIMultiDict, CIMultiDictProxy
    from yarl import URL

    proxy = CIMultiDictProxy(CIMultiDict(headers))
    about = aiohttp.RequestInfo(URL("http://h/k"), "GET", CIMultiDictProxy(CIMultiDict()), URL("http://h/k"))
    return aiohttp.ClientResponseError(about, (), status=503, message="busy", headers=proxy)


def requests_error(headers):
    import requests

    answer = requests.Response()
    answer.status_code = 503
    answer.headers.update(headers)
    return requests.HTTPError("busy", response=answer)


def httpx_error(headers):
    import httpx

    request = httpx.Request("GET", "http://h/k")
    return httpx.HTTPStatusError("busy", request=request, response=httpx.Response(503, headers=headers, request=request))


def webdav_error(headers):
    from webdav4.client import HTTPError

    return HTTPError(httpx_error(headers).response)


def azure_error(headers):
    from azure.core.exceptions import HttpResponseError

    error = HttpResponseError("busy")
    error.response, error.status_code = requests_error(headers).response, 503
    return error


LIBRARIES = (botocore_error, aiohttp_error, requests_error, httpx_error, webdav_error, azure_error)


@pytest.mark.parametrize("make", LIBRARIES)
def test_every_library_hands_it_over(make):
    """As a number of seconds."""
    ours = translate(make({"Retry-After": "12"}), operation="read", url="x://h/k")

    assert isinstance(ours, ThrottledError)
    assert ours.retry_after_seconds == 12.0


@pytest.mark.parametrize("make", LIBRARIES)
def test_without_the_header_nothing_is_said(make):
    """None is not zero."""
    assert translate(make({}), operation="read", url="x://h/k").retry_after_seconds is None


def test_a_date_counts_from_now():
    """In the form that HTTP prescribes."""
    date = datetime.now(tz=timezone.utc) + timedelta(seconds=3600)

    assert 3500 < retry_after(requests_error({"Retry-After": format_datetime(date, usegmt=True)})) <= 3600


def test_a_date_that_has_passed_is_zero():
    """Not a negative wait."""
    assert retry_after(requests_error({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})) == 0.0


@pytest.mark.parametrize("value", ["", "soon", "-5", "1e9", "²", "12 s"])
def test_what_makes_no_sense_is_ignored(value):
    """Instead of hiding the error that it came with."""
    assert retry_after(requests_error({"Retry-After": value.encode().decode("latin-1")})) is None


def test_it_may_stand_anywhere_along_the_causes():
    """Drivers wrap errors."""
    outer = OSError("something failed")
    outer.__cause__ = RuntimeError("deeper")
    outer.__cause__.__cause__ = botocore_error({"Retry-After": "3"})

    with pytest.raises(ThrottledError) as caught, translated("read", "s3://b/k"):
        raise outer
    assert caught.value.retry_after_seconds == 3.0


def test_an_error_of_ours_takes_it_from_its_cause():
    """When a dialect raised it."""
    with pytest.raises(ThrottledError) as caught, translated("read", "s3://b/k"):
        raise ThrottledError("later") from httpx_error({"Retry-After": "4"})

    assert caught.value.retry_after_seconds == 4.0


@pytest.mark.parametrize("travel", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_it_survives_a_trip(travel):
    """Between processes, as the rest of the error does."""
    error = ThrottledError("later")
    error.retry_after_seconds = 2.5

    assert travel(error).retry_after_seconds == 2.5
    assert travel(ObjectNotFoundError("not found")).retry_after_seconds is None
