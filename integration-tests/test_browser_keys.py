"""Shortcuts of one key in a real browser: rows, pages, and when there are none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from browsing import SCHEDULES, manage, overflow, page_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

FAILED = """
from django.utils import timezone
from cq.ids import uuid7
from cq.models import Task
for n in range(3):
    pk, now = uuid7(), timezone.now()
    Task.objects.create(pk=pk, root_id=pk, name="keys.sample", status="FAILURE",
        submitted=now, finished=now, error="no", exception="E")
"""
#: A task that is retried by one click: it is registered, atomic, and has nothing below it.
HARMLESS = FAILED.replace("keys.sample", "shop.tasks.publish").replace(
    "range(3)", "range(1)"
)
WAITS = "from shop import tasks; tasks.publish.delay(1)"
NOTES_COPIES = """
window.copied = [];
Object.defineProperty(navigator, "clipboard", {
    value: { writeText: async (text) => { window.copied.push(text); } },
});
"""
#: What Django's own scripts do is let pass; what others make HTML of is kept.
NOTES_HTML = """
window.made = [];
trustedTypes.createPolicy("default", {
    createHTML(text) {
        window.made.push(new Error().stack);
        return text;
    },
    createScript: (text) => text,
    createScriptURL: (text) => text,
});
"""


def rows_of(page: Page, site: str) -> Any:
    manage("shell", "-c", FAILED)
    page.goto(f"{site}cq/task/?name=keys.sample&status=FAILURE")
    page.locator("#cq-keys-open").wait_for()
    return page.locator("#result_list tbody tr")


def focused_row(page: Page) -> int:
    return int(
        page.evaluate(
            "[...document.querySelectorAll('#result_list tbody tr')]"
            ".indexOf(document.activeElement.closest('tr'))"
        )
    )


def test_rows_are_walked_ticked_opened_and_retried(
    browser: Browser, site: str, expect: Any
) -> None:
    with page_of(browser, site) as page:
        rows = rows_of(page, site)
        places = []
        # It ends at the first and at the last.
        for key in "jjkkj" + "j" * rows.count() + "k" * rows.count():
            page.keyboard.press(key)
            places.append(focused_row(page))
        assert places[:5] == [0, 1, 0, 0, 1]
        assert max(places) == rows.count() - 1
        assert places[-1] == 0
        page.keyboard.press("x")
        expect(rows.first.locator("input.action-select")).to_be_checked()
        page.keyboard.press("x")
        expect(rows.first.locator("input.action-select")).not_to_be_checked()
        page.keyboard.press("o")
        page.wait_for_url("**/change/**")
        page.locator("#cq-keys-open").wait_for()
        page.keyboard.press("r")
        page.wait_for_url("**/retry/**")
        page.go_back()
        page.go_back()
        page.locator("#cq-keys-open").wait_for()
        page.keyboard.press("j")
        page.keyboard.press("r")
        # It asks first: a key alone changes nothing.
        page.wait_for_url("**/retry/**")


def test_what_is_retried_by_one_click_is_asked_about_first(
    browser: Browser, site: str, expect: Any
) -> None:
    manage("shell", "-c", HARMLESS)
    failed = f"{site}cq/task/?name=shop.tasks.publish&status=FAILURE"
    with page_of(browser, site) as page:
        page.goto(failed)
        rows = page.locator("#result_list tbody tr")
        count = rows.count()
        rows.locator("th a").first.click()
        page.locator('form[action$="/retry/"]').wait_for()
        page.locator("#cq-keys-open").wait_for()
        page.keyboard.press("r")
        page.wait_for_url("**/retry/**")
        expect(page.get_by_role("button", name="Retry")).to_be_visible()
        page.goto(failed)
        assert rows.count() == count


def test_only_what_copies_copies(browser: Browser, site: str, expect: Any) -> None:
    manage("shell", "-c", WAITS)
    with page_of(browser, site) as page:
        page.add_init_script(NOTES_COPIES)
        page.goto(f"{site}cq/task/?name=shop.tasks.publish&status=QUEUED")
        page.locator("#result_list tbody th a").first.click()
        opener = page.locator("#cq-keys-open")
        opener.click()
        switch = page.locator("#cq-keys [role=switch]")
        close = page.locator("#cq-keys form button")
        switch.click()
        switch.click()
        close.click()
        live = page.locator("#cq-live button")
        live.click()
        live.click()
        page.locator(".cq-title .cq-copy").click()
        expect(page.locator(".cq-title .cq-copy")).to_have_text("Copied")
        taken = page.locator(".cq-title .cq-id").inner_text()
        assert page.evaluate("window.copied") == [taken]
        expect(opener).to_have_text("Keyboard shortcuts")
        expect(switch).to_have_text("Shortcuts of one key")
        expect(close).to_have_text("Close")
        assert live.inner_text()


def test_keys_go_to_pages(browser: Browser, site: str) -> None:
    with page_of(browser, site) as page:
        # Between two keys as little time passes as they say, on any machine.
        page.clock.install(time="2026-01-01T00:00:00")
        page.clock.pause_at("2026-01-01T01:00:00")
        rows_of(page, site)
        for key, address in (
            ("o", "cq/overview/"),
            ("q", "cq/queue/"),
            ("w", "cq/worker/"),
            ("s", f"{SCHEDULES}/"),
            ("t", "cq/task/"),
        ):
            page.locator("#cq-keys-open").wait_for()
            page.keyboard.press("g")
            page.keyboard.press(key)
            page.wait_for_url(f"{site}{address}")
        page.locator("#cq-keys-open").wait_for()
        page.keyboard.press("g")
        page.clock.run_for(1_500)
        page.keyboard.press("w")
        page.keyboard.press("g")
        page.locator("#searchbar").focus()
        page.keyboard.press("x")
        page.locator("h1").first.click()
        page.keyboard.press("w")
        page.keyboard.press("g")
        page.keyboard.press("o")
        page.wait_for_url(f"{site}cq/overview/")


def test_nothing_happens_while_something_is_typed_or_with_a_modifier(
    browser: Browser, site: str, expect: Any
) -> None:
    with page_of(browser, site) as page:
        rows_of(page, site)
        before = page.url
        page.keyboard.press("/")
        expect(page.locator("#searchbar")).to_be_focused()
        page.locator("#searchbar").fill("")
        page.keyboard.type("jokrx?go/")
        expect(page.locator("#searchbar")).to_have_value("jokrx?go/")
        page.locator("h1").first.click()
        for key in ("Control+j", "Alt+j", "Meta+j"):
            page.keyboard.press(key)
        assert focused_row(page) == -1
        expect(page.locator("#cq-keys")).not_to_be_visible()
        assert page.url == before


def test_they_are_listed_and_turned_off_for_good(
    browser: Browser, site: str, expect: Any
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    with page_of(browser, site, 360) as page:
        rows_of(page, site)
        page.keyboard.press("?")
        listed = page.get_by_role("dialog", name="Keyboard shortcuts")
        expect(listed).to_be_visible()
        for key in "/jkoxrgtqws?":
            expect(
                listed.locator("kbd", has_text=re.compile(rf"^{re.escape(key)}$")).first
            ).to_be_visible()
        assert overflow(page) <= 0
        found = Axe().run(page).response["violations"]
        bad = [one for one in found if one["impact"] in ("serious", "critical")]
        assert bad == []
        # While it is open no key is for what is below it.
        page.keyboard.press("j")
        assert focused_row(page) == -1
        page.keyboard.press("?")
        expect(listed).not_to_be_visible()

        page.locator("#cq-keys-open").click()
        switch = listed.get_by_role("switch")
        expect(switch).to_have_attribute("aria-checked", "true")
        switch.click()
        listed.get_by_role("button", name="Close").click()
        page.reload()
        page.locator("#cq-keys-open").wait_for()
        page.locator("h1").first.click()
        page.keyboard.press("j")
        page.keyboard.press("?")
        assert focused_row(page) == -1
        expect(listed).not_to_be_visible()
        page.locator("#cq-keys-open").click()
        switch.click()
        listed.get_by_role("button", name="Close").click()
        page.locator("h1").first.click()
        page.keyboard.press("j")
        assert focused_row(page) == 0


def test_without_a_script_there_are_none(browser: Browser, site: str) -> None:
    with page_of(browser, site, script=False) as page:
        page.goto(f"{site}cq/task/")
        assert not page.locator("#cq-keys-open").is_visible()
        assert not page.locator("#cq-keys").is_visible()


def test_what_is_typed_of_a_schedule_is_shown_without_making_html_of_text(
    browser: Browser, site: str, expect: Any
) -> None:
    def strict(route: Any) -> None:
        if route.request.resource_type != "document":
            route.continue_()
            return
        answer = route.fetch(max_redirects=0)
        policy = "require-trusted-types-for 'script'"
        headers = {**answer.headers, "content-security-policy": policy}
        route.fulfill(response=answer, headers=headers)

    with page_of(browser, site) as page:
        page.add_init_script(NOTES_HTML)
        page.route("**/*", strict)
        page.goto(f"{site}{SCHEDULES}/add/")
        page.locator("#id_crontab").fill("15 4 * * *")
        coming = page.locator("#cq-coming")
        expect(coming.locator("ol li").first).to_contain_text("04:15")
        page.locator("#id_crontab").fill("99 <b>4</b> * * *")
        expect(coming.locator(".cq-coming-error")).to_contain_text("99")
        assert coming.locator("b").count() == 0
        made = page.evaluate("window.made")
        assert [stack for stack in made if "/cq_admin/" in stack] == []


def test_the_list_of_schedules_shows_its_strip(
    browser: Browser, site: str, expect: Any
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    for width in (360, 1280):
        with page_of(browser, site, width) as page:
            page.goto(f"{site}{SCHEDULES}/")
            page.locator("#result_list").wait_for()
            assert overflow(page) <= 0
            found = Axe().run(page).response["violations"]
            bad = [one for one in found if one["impact"] in ("serious", "critical")]
            assert bad == []
