"""Each page of the admin under django-unfold in a real browser: as wide, and as usable."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from browsing import MANAGE, SCHEDULES, overflow, page_of, seen_as, served
from cq_backends import free_port
from test_browser_tasks import pages_of, tasks  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def unfold(tasks: str, data: Path) -> Iterator[str]:  # noqa: F811 - made before
    """The address of the admin of the same site, with unfold."""
    port = free_port()
    command = [sys.executable, str(MANAGE), "runserver", "--noreload", str(port)]
    command += ["--settings", "unfold_settings"]
    with served(data / "unfold.log", port, command) as admin:
        yield admin


def test_every_page_fits_and_is_in_the_way_of_nobody(
    browser: Browser, unfold: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    axe = Axe()
    bad: list[str] = []
    with page_of(browser, unfold) as page:
        own = pages_of(page, f"{unfold}cq/task/")
        own += [
            f"{unfold}cq/limit/",
            f"{unfold}{SCHEDULES}/",
            f"{unfold}{SCHEDULES}/add/",
        ]
        page.goto(f"{unfold}{SCHEDULES}/")
        page.click("#result_list tbody th a")
        own.append(page.url)
        for address in own:
            answer = page.goto(address)
            assert answer is not None
            assert answer.status == 200, address
            page.add_style_tag(content="* { transition: none !important }")
            for width, scheme in seen_as(page):
                if overflow(page) > 0:
                    bad.append(f"{address} {width} {scheme}: is wider than the window")
                # What unfold itself has around them is its own matter.
                found = axe.run(page, context=".cq-ours, #content").response
                bad += [
                    f"{address} {width} {scheme}: {one['id']}: {node['html'][:200]} "
                    f"{node['failureSummary']}"
                    for one in found["violations"]
                    if one["impact"] in ("serious", "critical")
                    for node in one["nodes"]
                ]
    assert not bad, "\n".join(bad)


def test_the_page_of_a_task_has_its_heading_and_its_buttons(
    browser: Browser, unfold: str, expect: Any
) -> None:
    with page_of(browser, unfold) as page:
        page.goto(f"{unfold}cq/task/?status__exact=FAILURE")
        page.click("#result_list tbody th a")
        page.wait_for_url("**/change/**")
        expect(page.locator(".cq-title")).to_be_visible()
        expect(page.locator(".cq-tools")).to_contain_text("Retry")


def test_ticked_tasks_go_to_the_page_for_many(
    browser: Browser, unfold: str, expect: Any
) -> None:
    with page_of(browser, unfold) as page:
        page.goto(f"{unfold}cq/task/?status__exact=FAILURE")
        page.locator("#result_list input.action-select").first.check()
        page.select_option("select[name=action]", "retry_selected")
        page.locator("#changelist-actions button[type=submit]").click()
        page.wait_for_url("**/many/**")
        expect(page.locator("#content")).to_contain_text("1")
