"""No stored text becomes a part of a page, and no page needs a looser policy."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from cq.models import Edge, Task, Worker
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db


def shown(client: Client, row: Task) -> str:
    page = client.get(f"/admin/cq/task/{row.pk}/change/")
    assert page.status_code == 200
    return page.content.decode()


PAYLOADS = [
    "<script>alert(1)</script>",
    "</pre></dd><script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    '"><img src=x onerror=alert(1)>',
    "'><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    '" autofocus onfocus="alert(1)',
    "javascript:alert(1)",
    "{{ 7|add:7 }}{% debug %}",
    "<!--",
    "<![CDATA[<img src=x onerror=alert(1)>]]>",
    "&lt;img src=x onerror=alert(1)&gt;",
    "&#60;script&#62;alert(1)",
    "\x1b[31mred\x1b]8;;javascript:alert(1)\x07",
    "a\u202e<script>\u2028alert(1)\u2029</script>",
    "\ufeff\u200f<b>",
    "%3Cscript%3E",
    "<a href=javascript:alert(1)>",
    "<style>*{display:none}</style>",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content=0;url=//evil.example>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "\\u003cscript\\u003e",
]


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[Any, ...]] = []

    def handle_starttag(self, tag: str, attrs: list[Any]) -> None:
        # The same elements with other texts are the same page.
        if tag != "wbr":  # as many as a name has dots
            self.found.append((tag, *sorted(name for name, _ in attrs)))


def tags(html: str) -> list[tuple[Any, ...]]:
    parser = Tags()
    parser.feed(html)
    return parser.found


def hostile(row: Callable[..., Task], say: Callable[..., None], text: str) -> Task:
    """A task with a text wherever one fits, and others around it."""
    value = json.dumps([text, {text: text}, {"$": text, "v": text}])
    now = timezone.now()
    columns = {
        "name": text[:200],
        "queue": text[:100],
        "args": value,
        "kwargs": json.dumps({text: text}),
        "result": value,
        "error": text,
        "exception": text,
        "traceback": text,
        "progress_done": 1,
        "progress_total": 2,
        "progress_message": text,
    }
    worker = Worker.objects.create(
        id=Worker.objects.count() + 1,
        kind=text[:10],
        host=text,
        pid=1,
        queues=[text],
        started=now,
        last_seen=now,
    )
    root = row(Status.RUNNING, worker=worker, unique_key=text, started=now, **columns)
    child = row(Status.FAILURE, parent=root, root=root, previous=root, **columns)
    Edge.objects.create(task=child, depends_on=root, when="complete")
    say(root, 1, message=text)
    say(child, 1, root, message=text)
    return root


@pytest.mark.parametrize("text", PAYLOADS)
def test_no_stored_text_becomes_markup(
    staff: Client, row: Callable[..., Task], say: Callable[..., None], text: str
) -> None:
    # PostgreSQL stores no NUL, and nobody could have put one there.
    plain = hostile(row, say, "plain")
    foul = hostile(row, say, text)
    for harmless, page in (
        (shown(staff, plain), shown(staff, foul)),
        (
            staff.get("/admin/cq/task/", {"root": plain.pk}).content.decode(),
            staff.get("/admin/cq/task/", {"root": foul.pk}).content.decode(),
        ),
    ):
        assert tags(page) == tags(harmless)
        for sign in "\x1b\u202e\u2028\u2029\u200f\ufeff":
            assert sign not in page
    listed = staff.get("/admin/cq/worker/").content.decode()
    for sign in ("<script>alert", "<img src=x", "<svg/onload", "\x1b", "\u202e"):
        assert sign not in listed
    # Names of the address, too.
    for parameter in ("name", "queue", "q", "level"):
        page = staff.get("/admin/cq/task/", {parameter: text}).content.decode()
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "<svg/onload" not in page


def test_a_page_has_no_inline_style_or_script(
    staff: Client, row: Callable[..., Task], say: Callable[..., None]
) -> None:
    for page in (
        shown(staff, hostile(row, say, "plain")),
        staff.get("/admin/cq/task/").content.decode(),
        staff.get("/admin/cq/worker/").content.decode(),
    ):
        assert "<style" not in page
        assert " style=" not in page
        assert not re.search(r"<script(?![^>]*\bsrc=)[^>]*>", page)
        assert not re.search(r"\son[a-z]+=", page)
