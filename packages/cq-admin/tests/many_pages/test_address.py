"""The address of the page: the list's own query string, and nothing that it does not know."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.http import QueryDict
from django.utils import timezone

from cq.status import Status
from cq_admin.many_pages import address

pytestmark = pytest.mark.backend("sqlite")  # no database is asked

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
ID = "0199a5f0-0000-7000-8000-00000000abcd"


def read(query: str) -> dict[str, Any]:
    return address.read(QueryDict(query), NOW).as_json()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {}),
        ("status=FAILURE,LOST", {"status": ["FAILURE", "LOST"]}),
        ("status=FAILURE&status=LOST", {"status": ["FAILURE", "LOST"]}),
        ("status__exact=FAILURE", {"status": ["FAILURE"]}),
        ("name=shop.charge", {"name": ["shop.charge"]}),
        ("name=a,b&name=c", {"name": ["a", "b", "c"]}),
        (r"name=a\,b", {"name": ["a,b"]}),
        ("queue=mail,sms", {"queue": ["mail", "sms"]}),
        ("since=2h", {"since": (NOW - timedelta(hours=2)).isoformat()}),
        ("since=2026-07-01T06:00:00%2B02:00", {"since": "2026-07-01T06:00:00+02:00"}),
        # A plus that nobody has encoded.
        ("since=2026-07-01T06:00:00+02:00", {"since": "2026-07-01T06:00:00+02:00"}),
        (f"root={ID}&level=below", {"root": ID.replace("-", ""), "level": "below"}),
        (f"parent={ID}", {"parent": ID.replace("-", "")}),
        ("worker=7,0", {"worker": [7, 0]}),
        (f"ids={ID}", {"ids": [ID.replace("-", "")]}),
        ("tag=order:1&tag=a,b", {"tag": ["order:1", "a,b"]}),
    ],
)
def test_what_the_list_has_is_read(query: str, found: dict[str, Any]) -> None:
    assert read(query) == found


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            "colour=order:1",
            'The filter "colour" is not known here, so nothing is taken.',
        ),
        ("name__startswith=a", '"name__startswith" is not known here'),
        ("q=charge", "What a search finds cannot be taken as a whole."),
        ("q=", "What a search finds cannot be taken as a whole."),
        ("p=3", 'The filter "p" is not known here'),
        ("status=", '"status" is empty; leave it out, or give a value.'),
        ("status=,", '"status" is empty'),
        ("name=a&name=", '"name" is empty'),
        ("status=BROKEN", "status has 'BROKEN', but must be of PENDING"),
        (
            "status=FAILURE&status__exact=LOST",
            '"status__exact" is given more than once',
        ),
        ("since=1h&since=2h", '"since" is given more than once; give it once.'),
        ("since=soon", '"since" is "soon", but must be a while ago'),
        ("until=2026-99-01", '"until" is "2026-99-01", but must be a while ago'),
        ("since=99999999999d", "but must be a while ago"),
        (f"root={ID}&root={ID}", '"root" is given more than once'),
        ("root=x", "root has 'x', but must be the id of a task"),
        ("ids=1,2", "ids has '1', but must be the id of a task"),
        ("worker=x", "worker has 'x', but must be the id of a worker"),
        ("worker=-1", "worker has '-1', but must be the id of a worker"),
        ("worker=99999999999999999999", "but must be the id of a worker"),
        ("level=middle", "level is 'middle', but must be"),
        ("name=a%00b", "but must be of texts of 1 to 200 characters"),
        ("%00=1", '"\\x00" is not known here'),
    ],
)
def test_anything_else_is_refused(query: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        read(query)
    assert message in str(caught.value)


def test_ten_thousand_ids_are_refused() -> None:
    ids = ",".join([ID] * 10_000)
    with pytest.raises(ValueError, match="ids has 10,000 values, but may have 1,000"):
        read(f"ids={ids}")


@pytest.mark.parametrize(
    "query",
    [
        "",
        "status=FAILURE,LOST&queue=mail&level=top",
        r"name=a\,b,c\\d",
        "name=caf%C3%A9%20%26%3F%23%2F..",
        "since=2h&until=1h",
        f"ids={ID}&worker=1,2&root={ID}&parent={ID}",
    ],
)
def test_what_is_written_is_read_as_it_was(query: str) -> None:
    chosen = address.read(QueryDict(query), NOW)
    later = NOW + timedelta(hours=5)
    assert address.read(QueryDict(address.written(chosen)), later) == chosen


def test_a_page_of_the_list_stands_for_all_that_match() -> None:
    query = QueryDict("status=FAILURE&p=3&o=-1&all=&before=x&e=1&q=")
    assert address.of_list(query, NOW).as_json() == {"status": ["FAILURE"]}
    with pytest.raises(ValueError, match="What a search finds"):
        address.of_list(QueryDict("status=FAILURE&q=mail"), NOW)


def test_a_time_without_a_zone_is_by_the_reader_s_clock() -> None:
    with timezone.override("Asia/Tokyo"):
        assert read("until=2026-07-01") == {"until": "2026-07-01T00:00:00+09:00"}
        assert read("until=2026-07-01T06:00") == {"until": "2026-07-01T06:00:00+09:00"}


def test_statuses_are_the_words_of_cq() -> None:
    assert read(f"status={','.join(Status.values)}") == {"status": Status.values}
