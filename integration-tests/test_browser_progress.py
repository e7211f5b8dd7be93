"""The bar of a task in a real browser, for a visitor who has not logged in."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from browsing import MANAGE, VIEWPORTS, new_page, overflow
from processes import Process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page, Route, WebSocketRoute

pytestmark = pytest.mark.browser

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'self'"
)
#: Keeps what the element tells.
LISTEN = """
window.told = [];
for (const name of ["cq:progress", "cq:failed", "cq:done"])
  document.addEventListener(name, (e) => window.told.push([name, e.detail.status, e.detail.v]));
"""

LOOKED_AT_AGAIN = """
const bar = document.querySelector("cq-progress");
bar.after(bar.cloneNode(true));
document.dispatchEvent(new Event("visibilitychange"));
"""


@pytest.fixture(scope="module")
def shop(site: str, data: Path) -> Iterator[str]:
    """The address of the demo's shop, with a worker."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CQ_DEMO_DATA", str(data))
        environment.setenv("DJANGO_SETTINGS_MODULE", "settings")
        command = [sys.executable, str(MANAGE), "cqworker", "--processes=1"]
        worker = Process(data / "worker.log", *command)
        try:
            yield site.replace("admin/", "")
        finally:
            worker.kill()


@contextmanager
def visit(
    browser: Browser,
    width: int = 1280,
    scheme: str = "light",
    script: bool = True,
) -> Iterator[Page]:
    """A page of somebody without a session, under the strictest policy."""

    def strict(route: Route) -> None:
        if route.request.resource_type != "document":
            route.continue_()
            return
        answer = route.fetch(max_redirects=0)
        headers = {**answer.headers, "content-security-policy": CSP}
        route.fulfill(response=answer, headers=headers)

    with new_page(browser, width, scheme, script) as page:
        page.route("**/*", strict)
        if script:
            page.add_init_script(LISTEN)
        yield page


def test_a_bar_moves_and_ends_for_a_visitor_who_has_not_logged_in(
    browser: Browser,
    shop: str,
    expect: Any,
) -> None:
    with visit(browser) as page:
        page.goto(shop)
        expect(page.locator("cq-progress")).to_have_count(0)
        page.get_by_role("button", name="Order").click()
        element = page.locator("cq-progress")
        expect(element.locator(".cq-label")).to_have_text("Your order")
        seen = set()
        while "cq-over" not in str(element.get_attribute("class")):
            seen.add(element.locator(".cq-bar").get_attribute("value"))
            page.wait_for_timeout(200)
        moved = {value for value in seen if value and 0 < float(value) < 1}
        assert moved, seen
        expect(element.locator(".cq-bar")).to_have_attribute("value", "1")
        expect(element.locator(".cq-outcome")).to_have_text("complete")
        expect(element.locator(".cq-text")).to_have_text("")
        expect(element.locator(".cq-amount")).to_have_text("6 of 6")
        lines = [line.inner_text() for line in element.locator("li").all()]
        assert lines[0] == "a lamp: packed"
        assert len(lines) == 6
        expect(element.locator("form")).to_have_count(0)

        told = page.evaluate("window.told")
        assert ["cq:done", "COMPLETE", 1] in told
        assert ["cq:progress", "RUNNING", 1] in told
        # What was done when the page was made has the same text, and asks nobody.
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.reload()
        expect(element.locator(".cq-outcome")).to_have_text("complete")
        assert [line.inner_text() for line in element.locator("li").all()] == lines
        page.wait_for_timeout(2500)
        assert [url for url in asked if "/tasks/" in url] == []


def test_bars_are_told_by_one_socket_and_ask_nothing(
    browser: Browser,
    shop: str,
    asgi: str,
    expect: Any,
) -> None:
    with visit(browser) as page:
        asked: list[str] = []
        sockets: list[Any] = []
        page.goto(asgi.replace("admin/", ""))
        for _ in range(2):
            # Each page has its own socket, which is heard of late: none of the next one.
            with page.expect_websocket():
                page.get_by_role("button", name="Order").click()
        elements = page.locator("cq-progress")
        expect(elements).to_have_count(2)
        page.on("websocket", lambda found: sockets.append(found))
        page.on("request", lambda request: asked.append(request.url))
        page.reload()
        # As htmx does it; what was there goes, and what comes is told as well.
        page.evaluate(
            "() => { const main = document.querySelector('main');"
            " main.innerHTML = main.innerHTML; }"
        )
        for element in elements.all():
            expect(element.locator(".cq-outcome")).to_have_text("complete")
            expect(element.locator(".cq-amount")).to_have_text("6 of 6")
            expect(element.locator("li")).to_have_count(6)
        assert [name for name, *_ in page.evaluate("window.told")].count("cq:done") == 2
        assert [url for url in asked if "/tasks/" in url] == []
        [mine] = sockets
        if not mine.is_closed():
            mine.wait_for_event("close")


def test_a_bar_asks_where_its_socket_fails(
    browser: Browser,
    shop: str,
    asgi: str,
    expect: Any,
) -> None:
    tried = []

    def refused(route: WebSocketRoute) -> None:
        tried.append("refused")
        route.close(code=4404)

    def silent(route: WebSocketRoute) -> None:
        tried.append("silent")

    def cut(route: WebSocketRoute) -> None:
        def once(message: str | bytes) -> None:
            route.send(message)
            route.close(code=1012)

        tried.append("cut")
        route.connect_to_server().on_message(once)

    with ExitStack() as stack:
        pages = []
        for fault in (refused, silent, cut):
            page = stack.enter_context(visit(browser))
            page.route_web_socket("**/ws/cq/", fault)
            page.goto(asgi.replace("admin/", ""))
            page.get_by_role("button", name="Order").click()
            pages.append(page)
        for page in pages:
            element = page.locator("cq-progress")
            expect(element.locator(".cq-outcome")).to_have_text("complete")
            expect(element.locator("li")).to_have_count(6)
        assert set(tried) == {"refused", "silent", "cut"}


def test_a_socket_that_was_not_opened_is_tried_again(
    browser: Browser,
    shop: str,
    asgi: str,
    expect: Any,
) -> None:
    tried: list[str] = []
    heard: list[str] = []

    def handshake(route: WebSocketRoute) -> None:
        tried.append(route.url)
        if len(tried) == 1:
            route.close(code=1012)
            return

        def pass_on(message: str | bytes) -> None:
            heard.append(str(message))
            route.send(message)

        route.connect_to_server().on_message(pass_on)

    with visit(browser) as page:
        page.route_web_socket("**/ws/cq/", handshake)
        page.clock.install()
        page.goto(asgi.replace("admin/", ""))
        page.get_by_role("button", name="Order").click()
        element = page.locator("cq-progress")
        # The page's time goes as it is let, and its order is done when it is done.
        while "cq-over" not in str(element.get_attribute("class")):
            page.clock.run_for(1_000)
            page.wait_for_timeout(100)
        # Of an order that was done by then nothing is told; of the next one it is.
        page.get_by_role("button", name="Order").click()
        while not heard:
            page.clock.run_for(1_000)
            page.wait_for_timeout(100)
        expect(element.first).to_be_visible()
        assert len(tried) >= 2


def test_no_pause_of_its_socket_is_cut_short(
    browser: Browser, shop: str, asgi: str
) -> None:
    tried: list[str] = []

    def refuse(route: WebSocketRoute) -> None:
        tried.append(route.url)
        route.close(code=1012)

    with visit(browser) as page:
        page.route_web_socket("**/ws/cq/", refuse)
        page.clock.install(time="2026-01-01T00:00:00")
        page.clock.pause_at("2026-01-01T01:00:00")
        page.goto(asgi.replace("admin/", ""))
        page.get_by_role("button", name="Order").click()
        page.locator("cq-progress").first.wait_for()
        # It is looked at by another bar, and by who comes back to the page.
        for _ in range(5):
            page.evaluate(LOOKED_AT_AGAIN)
            page.clock.run_for(10)
            page.wait_for_timeout(50)
        assert len(tried) == 1


def test_a_visitor_cancels(
    browser: Browser,
    shop: str,
    expect: Any,
) -> None:
    for script in (True, False):
        with visit(browser, script=script) as page:
            page.goto(shop)
            page.get_by_role("button", name="Order").click()
            page.get_by_role("button", name="Cancel").click()
            outcome = page.locator(".cq-outcome")
            expect(outcome).to_have_text("It was cancelled")
            assert page.url == shop
            if script:
                told = [name for name, _, _ in page.evaluate("window.told")]
                assert told[-2:] == ["cq:failed", "cq:done"]


def test_several_bars_and_one_that_is_swapped_in(
    browser: Browser,
    shop: str,
    expect: Any,
) -> None:
    with visit(browser) as page:
        page.goto(shop)
        for _ in range(2):
            page.get_by_role("button", name="Order").click()
        expect(page.locator("cq-progress")).to_have_count(2)
        # As Turbo and htmx do it: the same HTML, put there by a script.
        page.evaluate(
            """() => {
              const section = document.querySelector("section");
              const html = section.innerHTML;
              section.replaceChildren();
              section.innerHTML = html;
            }"""
        )
        for outcome in page.locator(".cq-outcome").all():
            expect(outcome).to_have_text("complete")


def test_a_bar_that_cannot_be_shown_any_more_says_so_and_asks_no_more(
    browser: Browser,
    shop: str,
    expect: Any,
) -> None:
    with visit(browser) as page:
        page.goto(shop)
        page.get_by_role("button", name="Order").click()
        element = page.locator("cq-progress")
        page.evaluate(
            """() => {
              const bar = document.querySelector("cq-progress");
              bar.dataset.url = "/nowhere.json";
              window.asked = 0;
              window.fetch = async () => (window.asked++, { status: 404, ok: false });
            }"""
        )
        expect(element.locator(".cq-text")).to_contain_text("Reload the page")
        page.wait_for_timeout(2500)
        assert page.evaluate("window.asked") == 1


@pytest.mark.parametrize(("width", "scheme"), [*VIEWPORTS, (320, "light")])
def test_anybody_can_use_it_on_any_screen(
    width: int,
    scheme: str,
    browser: Browser,
    shop: str,
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    with visit(browser, width, scheme) as page:
        page.goto(shop)
        page.get_by_role("button", name="Order").click()
        page.locator("cq-progress").first.wait_for()
        page.wait_for_load_state()  # also of the styles
        page.evaluate(
            """() => {
              document.querySelector(".cq-label").textContent = "x".repeat(255);
              document.querySelector(".cq-text").textContent = "\u05d0".repeat(255);
            }"""
        )
        assert overflow(page) <= 0
        found = Axe().run(page).response["violations"]
        assert [
            one["id"] for one in found if one["impact"] in ("serious", "critical")
        ] == []
