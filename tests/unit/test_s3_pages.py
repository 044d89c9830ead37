"""A page of a listing, as it comes from S3."""

from __future__ import annotations

from datetime import datetime, timezone
from xml.etree import ElementTree as ET

import pytest

from persistence_fsspec.stores.dialects.s3_pages import one_page, read_page

ENTRY = """<Contents><Key>{}</Key><LastModified>2026-10-21T07:28:00.000Z</LastModified><ETag>&quot;abc&quot;</ETag>
<Size>5</Size><StorageClass>STANDARD</StorageClass><Owner><ID>x</ID></Owner></Contents>"""


def page(inside: str, *, space: str = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"') -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult{space}><Name>b</Name>{inside}</ListBucketResult>'.encode()


@pytest.mark.parametrize("space", ["", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'], ids=["without", "with"])
def test_an_object_is_what_botocore_makes_of_it(space):
    """Namespace or not, as servers have it."""
    found = read_page(page(ENTRY.format("a/b"), space=space))

    modified = datetime(2026, 10, 21, 7, 28, tzinfo=timezone.utc)
    assert found["Contents"] == [{"Key": "a/b", "Size": 5, "LastModified": modified, "ETag": '"abc"'}]
    assert found["IsTruncated"] is False


@pytest.mark.parametrize(
    ("encoding", "written", "read"),
    [
        ("<EncodingType>url</EncodingType>", "a%2Fb+c%2Bd%20%C3%A4", "a/b c+d ä"),
        ("", "a%2Fb+c &amp; ä", "a%2Fb+c & ä"),
    ],
    ids=["encoded", "plain"],
)
def test_names_are_decoded_where_the_server_says_so(encoding, written, read):
    """Of objects and of folders."""
    found = read_page(page(f"{encoding}{ENTRY.format(written)}<CommonPrefixes><Prefix>{written}/</Prefix></CommonPrefixes>"))

    assert found["Contents"][0]["Key"] == read
    assert found["CommonPrefixes"] == [{"Prefix": f"{read}/"}]


def test_a_page_that_is_not_the_last_names_the_next():
    """By the server's own word."""
    found = read_page(page("<IsTruncated>true</IsTruncated><NextContinuationToken>a&amp;b</NextContinuationToken>"))

    assert (found["IsTruncated"], found["NextContinuationToken"]) == (True, "a&b")


@pytest.mark.parametrize(
    "body",
    [
        b"<ListBucketResult>",
        b"<Error><Code>SlowDown</Code></Error>",
        page("<IsTruncated>true</IsTruncated>"),
        page(ENTRY.format("k").replace("<Size>5</Size>", "")),
        page(ENTRY.format("k").replace("00.000Z", "00.000+01:00")),
    ],
    ids=["cut", "error", "no token", "no size", "another time"],
)
def test_what_was_not_expected_is_refused(body):
    """Nothing is guessed."""
    with pytest.raises((ET.ParseError, TypeError, ValueError)):
        read_page(body)


def test_a_client_that_hands_nothing_over_reads_the_page_itself():
    """As older ones do."""

    class Driver:
        def call_s3(self, method, **wanted):
            return {"method": method, **wanted}

    assert one_page(Driver(), Bucket="b") == {"method": "list_objects_v2", "Bucket": "b"}
