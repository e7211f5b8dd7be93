"""The admin of the demo site in a real browser, narrow and wide, light and dark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from browsing import SCHEDULES, overflow, page_of, seen_as

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

PAGES = ("cq/overview/", "cq/queue/", "cq/task/", "cq/worker/")


def test_a_schedule_is_told_in_words_and_in_times_while_it_is_typed(
    browser: Browser, site: str, expect: Any
) -> None:
    with page_of(browser, site) as page:
        page.goto(f"{site}{SCHEDULES}/add/")
        coming = page.locator("#cq-coming")

        page.fill("#id_timezone", "Europe/Paris")
        page.fill("#id_crontab", "30 2 26-29 3 *")

        # 02:30 does not exist on the last Sunday of March.
        expect(coming.locator(".cq-words").first).to_contain_text("02:30")
        expect(coming.locator("li")).to_have_count(10)
        expect(coming.locator(".cq-change").first).to_be_visible()
        expect(coming).to_contain_text("By the clock of Europe/Paris.")

        page.fill("#id_crontab", "61 * * * *")
        expect(coming.locator(".cq-coming-error")).to_contain_text("61")
        expect(coming.locator("li")).to_have_count(0)


def test_a_schedule_is_made_and_run_at_once(
    browser: Browser, site: str, expect: Any
) -> None:
    with page_of(browser, site) as page:
        page.goto(f"{site}{SCHEDULES}/add/")
        page.select_option("#id_name", "shop.tasks.publish")
        page.fill("#id_args", "[1000]")
        page.fill("#id_crontab", "0 4 * * *")
        page.click("[name=_continue]")
        expect(page.locator(".cq-part")).to_contain_text("None is kept.")

        page.get_by_role("button", name="Run now").click()

        expect(page.locator(".cq-part tbody tr")).to_have_count(1)
        expect(page.locator(".cq-part tbody td").first).to_contain_text("queued")


def test_no_page_is_wider_than_the_window(browser: Browser, site: str) -> None:
    schedules = f"{site}{SCHEDULES}/"
    with page_of(browser, site) as page:
        addresses = [*(site + path for path in PAGES), schedules, f"{schedules}add/"]
        for listed in (f"{site}cq/task/", schedules):
            page.goto(listed)
            page.click("#result_list tbody th a")
            addresses.append(page.url)
        for address in addresses:
            page.goto(address)
            for width, scheme in seen_as(page):
                assert overflow(page) <= 0, (address, width, scheme)
