"""The steps of a task on its page in a real browser: no name and no value widens it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from browsing import manage, overflow, page_of, seen_as

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

ID = "0193f0c2-0000-7000-8000-000000000001"
MADE = f"""
from datetime import timedelta
from django.utils import timezone
from cq.codec import Encoded
from cq.models import Message, Step, Task
now = timezone.now()
task = Task.objects.create(
    pk={ID!r}, root_id={ID!r}, name="shop.fulfil", status="SUSPENDED", submitted=now,
    started=now, run_after=now + timedelta(days=3),
)
def step(kind, name, **values):
    values = {{"finished": now, "started": now, "fence": 1, "number": 0, **values}}
    Step.objects.create(task=task, kind=kind, name=name * 200, **values)
step("call", "c", key="k" * 200, tries=3, result=Encoded('"' + "r" * 90 + '"'))
step("call", "l", result=Encoded('"' + "r" * 900 + '"'))
step("call", "e", error="x" * 300, exception="shop." + "E" * 200, traceback="t" * 300)
step("sleep", "s", finished=now + timedelta(days=3))
step("wait", "w", finished=None, moment=now + timedelta(days=3))
Message.objects.create(task=task, name="m" * 200, sent=now)
"""


def test_long_steps_do_not_widen_the_page(browser: Browser, site: str) -> None:
    manage("shell", "-c", MADE)
    with page_of(browser, site) as page:
        page.goto(f"{site}cq/task/{ID}/change/")
        section = page.locator("section[aria-labelledby=steps]")
        assert section.locator("tbody tr").count() == 6
        assert section.locator("dt").count() == 3
        for width, scheme in seen_as(page):
            assert overflow(page) <= 0, (width, scheme)
            box = section.locator("dl").bounding_box()
            assert box is not None
            assert box["x"] + box["width"] <= width
