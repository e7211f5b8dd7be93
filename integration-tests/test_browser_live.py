"""The page of an open task in a real browser: it keeps itself up to date, and its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from browsing import manage, overflow, page_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

MADE = """
from django.utils import timezone
from cq.ids import uuid7
from cq.models import Task, TaskLog, Worker
now = timezone.now()
worker, _ = Worker.objects.get_or_create(
    id=2**61, defaults=dict(kind="cqworker", host="h", pid=1, started=now, last_seen=now))
pk = uuid7()
Task.objects.create(
    pk=pk, root_id=pk, name="live.sample", status="RUNNING", submitted=now, started=now,
    worker=worker, attempts=1, progress_done=1.0, progress_total=4.0, log_lines=30,
    error="once", exception="E", traceback="Traceback\\n  first")
TaskLog.objects.bulk_create(
    TaskLog(root_id=pk, task_id=pk, number=n, attempt=1, level=20, time=now,
            message=f"line {n}") for n in range(1, 31))
"""
GOES_ON = """
from django.utils import timezone
from cq.models import Task, TaskLog
task = Task.objects.filter(name="live.sample").order_by("-id").first()
n = task.log_lines + 1
TaskLog.objects.create(root=task, task=task, number=n, attempt=1, level=30,
    time=timezone.now(), message="<b>new</b> \\u202e line %s" % n)
Task.objects.filter(pk=task.pk).update(log_lines=n, progress_done=3.0)
"""
ENDS = """
from django.utils import timezone
from cq.models import Task
Task.objects.filter(name="live.sample", status="RUNNING").update(
    status="COMPLETE", finished=timezone.now(), worker=None, progress_done=4.0)
"""


def opened(page: Page, site: str) -> None:
    manage("shell", "-c", MADE)
    page.goto(f"{site}cq/task/?q=name:live.sample")
    page.locator("#result_list tbody th a").first.click()
    page.wait_for_url("**/change/**")


def place(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate(
        """() => ({
            focus: document.activeElement.textContent,
            selection: String(getSelection()),
            open: document.querySelector("#content details")?.open,
            scroll: document.getElementById("cq-log").scrollTop,
            page: scrollY,
        })"""
    )
    return found


@pytest.mark.parametrize("way", ["polling", "socket"])
def test_the_page_keeps_itself_up_to_date_and_its_place(
    way: str,
    browser: Browser,
    site: str,
    asgi: str,
    expect: Any,
) -> None:
    with page_of(browser, site if way == "polling" else asgi) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda found: asked.append(found.url))
        opened(page, site if way == "polling" else asgi)
        expect(page.locator("#cq-live")).to_be_visible()
        page.evaluate(
            """() => {
                const details = document.querySelector("#content details");
                if (details) { details.open = true; }
                const log = document.getElementById("cq-log");
                log.scrollTop = 5;
                document.querySelector("#cq-live button").focus();
                getSelection().selectAllChildren(log.querySelector("td.cq-line"));
            }"""
        )
        before = place(page)
        manage("shell", "-c", GOES_ON)
        # Markup is text, and what turns the direction is seen.
        last = page.locator("#cq-log tbody tr").last
        expect(last).to_contain_text("<b>new</b> \\u202e line 31")
        expect(last.locator(".cq-level-warning")).to_have_text("WARNING")
        expect(page.locator(".cq-top progress")).to_have_js_property("value", 3)
        assert place(page) == before
        expect(page.locator("#cq-live-said")).not_to_be_empty()

        manage("shell", "-c", ENDS)
        expect(page.locator(".cq-top .cq-state")).to_have_text("complete")
        expect(page.locator("#cq-live a")).to_be_visible()
        assert page.locator("#cq-log tbody tr").count() == 31
        count = len(asked)
        page.wait_for_timeout(2_500)
        assert len(asked) == count, "it asks on after the end"
        assert any(url.startswith("ws:") for url in asked) is (way == "socket")
        assert any("/live/?" in url for url in asked) is (way == "polling")


def test_a_pause_is_remembered(
    browser: Browser,
    site: str,
    expect: Any,
) -> None:
    with page_of(browser, site) as page:
        opened(page, site)
        button = page.locator("#cq-live button")
        button.click()
        expect(page.locator("#cq-live")).to_contain_text("Paused")
        asked: list[str] = []
        page.reload()
        page.on("request", lambda request: asked.append(request.url))
        expect(page.locator("#cq-live")).to_contain_text("Paused")
        manage("shell", "-c", GOES_ON)
        page.wait_for_timeout(2_500)
        assert [url for url in asked if "/live/" in url] == []
        button.click()
        expect(page.locator("#cq-log tbody tr").last).to_contain_text("line 31")
        manage("shell", "-c", ENDS)


@pytest.mark.parametrize("width", [320, 1280])
def test_nothing_is_in_the_way(
    width: int,
    browser: Browser,
    site: str,
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    with page_of(browser, site, width) as page:
        opened(page, site)
        page.locator("#cq-live button").wait_for()
        assert overflow(page) <= 0
        found = Axe().run(page).response["violations"]
        bad = [one for one in found if one["impact"] in ("serious", "critical")]
        assert bad == []
        manage("shell", "-c", ENDS)


def test_without_a_script_the_page_is_as_it_was(
    browser: Browser,
    site: str,
) -> None:
    with page_of(browser, site, script=False) as page:
        opened(page, site)
        assert not page.locator("#cq-live").is_visible()
        assert page.locator("#cq-log tbody tr").count() == 30
        manage("shell", "-c", ENDS)
