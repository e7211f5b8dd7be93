"""The overview and the list of workers in a real browser: they keep themselves up to date."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from browsing import manage, overflow, page_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page, Route, WebSocketRoute

pytestmark = pytest.mark.browser

BOTH_WAYS = pytest.mark.parametrize("way", ["polling", "socket"])
#: The strictest policy, and one that lets no text become markup.
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; require-trusted-types-for 'script'"
)
WAITS = "from shop import tasks; tasks.import_catalogue.delay()"
WORKS = """
import random
from django.utils import timezone
from cq.models import Worker
now = timezone.now()
Worker.objects.create(id=random.getrandbits(60), kind="cqworker", host="<b>new</b>",
    pid=7, started=now, last_seen=now)
"""
HIDE = """(hidden) => {
    Object.defineProperty(document, "hidden", { get: () => hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""

#: A table whose rows begin with a box to tick; of the middle one the link has the focus.
MORPHS = """async (address) => {
    const { morph } = await import(address);
    const table = (...names) => {
        const made = document.createElement("table");
        for (const name of names) {
            const row = made.insertRow();
            const box = document.createElement("input");
            box.type = "checkbox";
            row.insertCell().append(box);
            const link = document.createElement("a");
            link.href = "#";
            link.textContent = name;
            const head = document.createElement("th");
            head.append(link);
            row.append(head);
        }
        return made;
    };
    const old = table("one", "two", "three");
    document.body.append(old);
    const focused = old.querySelectorAll("a")[1];
    focused.focus();
    old.querySelectorAll("input")[1].checked = true;
    morph(old, table("two", "three"));
    const kept = document.activeElement === focused
        && focused.textContent === "two"
        && old.querySelector("input").checked;
    morph(old, table("three"));
    return [kept, document.activeElement === old];
}"""


@contextmanager
def strict(page: Page) -> Iterator[None]:
    def answer(route: Route) -> None:
        if route.request.resource_type != "document":
            route.continue_()
            return
        found = route.fetch(max_redirects=0)
        headers = {**found.headers, "content-security-policy": CSP}
        route.fulfill(response=found, headers=headers)

    page.route("**/*", answer)
    yield
    page.unroute("**/*")


def parts_asked(page: Page) -> list[str]:
    """The addresses that are asked for in parts, from now on."""
    asked: list[str] = []

    def note(request: Any) -> None:
        if "cq-part" in request.headers:
            asked.append(request.url)

    page.on("request", note)
    return asked


def place(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate(
        """() => ({
            focus: document.activeElement.textContent,
            selection: String(getSelection()),
            open: document.querySelector("#cq-parts details").open,
            page: scrollY,
        })"""
    )
    return found


def waiting(page: Page) -> int:
    return int(page.locator(".cq-tile").first.inner_text())


@BOTH_WAYS
def test_the_overview_keeps_itself_up_to_date_and_the_readers_place(
    way: str, browser: Browser, site: str, asgi: str, expect: Any
) -> None:
    where = site if way == "polling" else asgi
    manage("shell", "-c", WAITS)
    with page_of(browser, where) as page, strict(page):
        sockets: list[str] = []
        page.on("websocket", lambda found: sockets.append(found.url))
        page.goto(f"{where}cq/overview/?range=day")
        asked = parts_asked(page)
        switch = page.get_by_role("switch", name="Live")
        expect(switch).to_have_attribute("aria-checked", "true")
        page.evaluate(
            """() => {
                document.querySelector("#cq-parts details").open = true;
                document.querySelector("#cq-parts table.cq-sorted tbody a").focus();
                getSelection().selectAllChildren(document.getElementById("notices"));
            }"""
        )
        before, count = place(page), waiting(page)
        assert before["open"]
        assert before["selection"]
        manage("shell", "-c", WAITS)
        expect(page.locator(".cq-tile").first).to_have_text(str(count + 1))
        # The same number is in the table of queues, and on no other row.
        row = page.locator("table.cq-sorted tbody tr").first
        expect(row.locator("td").first).to_have_text(str(count + 1))
        assert place(page) == before
        assert set(asked) == {f"{where}cq/overview/?range=day"}
        assert bool(sockets) is (way == "socket")


@BOTH_WAYS
def test_the_list_of_workers_keeps_itself_up_to_date(
    way: str, browser: Browser, site: str, asgi: str, expect: Any
) -> None:
    where = site if way == "polling" else asgi
    with page_of(browser, where) as page:
        page.goto(f"{where}cq/worker/")
        rows = page.locator("#result_list tbody tr")
        page.get_by_role("switch", name="Live").wait_for()
        before = rows.count()
        manage("shell", "-c", WORKS)
        expect(rows).to_have_count(before + 1)
        expect(rows.first).to_contain_text("<b>new</b>")
        expect(page.locator("#cq-parts .paginator")).to_contain_text(str(before + 1))


def test_a_pause_is_remembered_and_a_hidden_page_asks_for_nothing(
    browser: Browser, site: str, expect: Any
) -> None:
    with page_of(browser, site) as page:
        page.clock.install()
        page.goto(f"{site}cq/overview/")
        asked = parts_asked(page)
        switch = page.get_by_role("switch", name="Live")
        switch.click()
        expect(switch).to_have_attribute("aria-checked", "false")
        expect(page.locator("#cq-live-page")).to_contain_text("Paused")
        page.reload()
        expect(switch).to_have_attribute("aria-checked", "false")
        page.clock.run_for(120_000)
        assert asked == []
        with page.expect_request(lambda request: "cq-part" in request.headers):
            switch.click()
            page.clock.run_for(11_000)
        expect(page.locator("#cq-live-page")).not_to_contain_text("Paused")

        page.evaluate(HIDE, True)
        # What was asked for just now is answered first.
        page.wait_for_load_state("networkidle")
        asked.clear()
        page.clock.run_for(120_000)
        assert asked == []
        with page.expect_request(lambda request: "cq-part" in request.headers):
            page.evaluate(HIDE, False)
            page.clock.run_for(1_000)


def test_it_says_that_the_server_is_away_and_when_it_is_back(
    browser: Browser, site: str, expect: Any
) -> None:
    with page_of(browser, site) as page:
        page.clock.install()
        page.goto(f"{site}cq/overview/")
        note = page.locator("#cq-live-page [role=status]")
        # Logged out elsewhere: the page to log in is no part of this one.
        page.context.clear_cookies()
        before = page.locator("#cq-parts").inner_html()
        page.clock.run_for(11_000)
        expect(note).to_have_text(re.compile("Cannot reach the server"))
        assert page.locator("#cq-parts").inner_html() == before


@pytest.mark.parametrize("fault", ["cut", "refused"])
def test_a_socket_that_fails_is_tried_again_unless_it_is_refused(
    fault: str, browser: Browser, asgi: str, expect: Any
) -> None:
    tried: list[str] = []
    heard: list[str] = []

    def handshake(route: WebSocketRoute) -> None:
        tried.append(route.url)
        if fault == "refused":
            route.close(code=4403)
        elif len(tried) <= 2:
            route.close(code=1012)
        else:

            def pass_on(message: str | bytes) -> None:
                heard.append(str(message))
                route.send(message)

            route.connect_to_server().on_message(pass_on)

    manage("shell", "-c", WAITS)
    with page_of(browser, asgi) as page:
        page.route_web_socket("**/ws/cq/", handshake)
        page.clock.install()
        polled: list[str] = []
        page.on("request", lambda request: polled.append(request.url))
        page.goto(f"{asgi}cq/task/?status=QUEUED")
        page.locator("#result_list tbody th a").first.click()
        expect(page.locator("#cq-live")).to_contain_text("Live")
        # Meanwhile it asks.
        until(page, lambda: any("/live/?" in url for url in polled))
        if fault == "refused":
            page.clock.run_for(200_000)
            assert len(tried) == 1
        else:
            until(page, lambda: bool(heard))
            assert len(tried) == 3
            # The next page of this tab begins with a socket.
            page.reload()
            until(page, lambda: len(tried) == 4)


def only_the_first(heard: list[str]) -> Any:
    """What answers a socket: of what the server sends nothing comes behind the first."""

    def handshake(route: WebSocketRoute) -> None:
        def pass_on(message: str | bytes) -> None:
            if not heard:
                heard.append(str(message))
                route.send(message)

        route.connect_to_server().on_message(pass_on)

    return handshake


@pytest.mark.parametrize("what", ["overview", "task"])
def test_a_socket_that_dies_without_a_word_is_found_out(
    what: str, browser: Browser, asgi: str
) -> None:
    manage("shell", "-c", WAITS)
    heard: list[str] = []
    with page_of(browser, asgi) as page:
        page.route_web_socket("**/ws/cq/", only_the_first(heard))
        page.clock.install()
        asked: list[str] = []

        def note(request: Any) -> None:
            if "cq-part" in request.headers or "/live/?" in request.url:
                asked.append(request.url)

        page.on("request", note)
        if what == "overview":
            page.goto(f"{asgi}cq/overview/")
        else:
            page.goto(f"{asgi}cq/task/?status=QUEUED")
            page.locator("#result_list tbody th a").first.click()
        until(page, lambda: bool(heard))
        # What it asks for once it was told is done.
        page.clock.run_for(5_000)
        page.wait_for_load_state("networkidle")
        asked.clear()
        until(page, lambda: bool(asked))


def test_no_pause_of_a_socket_is_cut_short(browser: Browser, asgi: str) -> None:
    tried: list[str] = []

    def handshake(route: WebSocketRoute) -> None:
        tried.append(route.url)
        route.close(code=1012)

    manage("shell", "-c", WAITS)
    with page_of(browser, asgi) as page:
        page.goto(f"{asgi}cq/task/?status=QUEUED")
        page.route_web_socket("**/ws/cq/", handshake)
        page.clock.install(time="2026-01-01T00:00:00")
        page.clock.pause_at("2026-01-01T01:00:00")
        link = page.locator("#result_list tbody th a").first
        # It asks as soon as its socket has failed.
        with page.expect_request(lambda request: "/live/?" in request.url):
            link.click()
        for _ in range(5):
            page.evaluate(HIDE, True)
            with page.expect_request(lambda request: "/live/?" in request.url):
                page.evaluate(HIDE, False)
        assert len(tried) == 1
        until(page, lambda: len(tried) > 1)


def test_a_page_that_takes_long_is_asked_for_more_seldom(
    browser: Browser, site: str
) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        if "cq-part" in route.request.headers:
            held.append(route)
        else:
            route.continue_()

    with page_of(browser, site) as page:
        page.clock.install()
        page.route("**/cq/overview/", hold)
        page.goto(f"{site}cq/overview/")
        until(page, lambda: len(held) == 1)
        page.clock.run_for(20_000)
        with page.expect_response("**/cq/overview/") as answer:
            held[0].continue_()
        answer.value.finished()
        page.clock.run_for(60_000)
        page.wait_for_load_state("networkidle")
        assert len(held) == 1
        page.clock.run_for(1_000_000)
        until(page, lambda: len(held) == 2)
        held[1].continue_()


def test_rows_behind_a_box_to_tick_are_told_from_each_other(
    browser: Browser, site: str
) -> None:
    with page_of(browser, site) as page:
        page.goto(f"{site}cq/overview/")
        address = page.locator('script[src*="live-page"]').get_attribute("src")
        assert address is not None
        morphs = address.replace("live-page", "morph")
        assert page.evaluate(MORPHS, morphs) == [True, True]


def until(page: Page, condition: Any) -> None:
    """Let the page's time pass until that is so."""
    for _ in range(600):
        if condition():
            return
        page.clock.run_for(500)
        page.wait_for_timeout(50)
    raise AssertionError("it is not so")


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("what", ["overview", "worker"])
def test_nothing_is_in_the_way(
    what: str, width: int, browser: Browser, site: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    with page_of(browser, site, width) as page:
        page.goto(f"{site}cq/{what}/")
        page.get_by_role("switch", name="Live").wait_for()
        assert overflow(page) <= 0
        found = Axe().run(page).response["violations"]
        bad = [one for one in found if one["impact"] in ("serious", "critical")]
        assert bad == []


def test_without_a_script_there_is_no_switch(browser: Browser, site: str) -> None:
    with page_of(browser, site, script=False) as page:
        page.goto(f"{site}cq/overview/")
        assert not page.get_by_role("switch").is_visible()
        assert page.locator(".cq-tile").count() == 5
