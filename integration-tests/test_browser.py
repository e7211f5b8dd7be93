"""The admin of the demo site in a real browser, narrow and wide, light and dark."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from processes import PATIENCE, Process, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

MANAGE = Path(__file__).resolve().parent.parent / "demo" / "manage.py"
SCHEDULES = "cq_scheduler/repeatingtask"
DAILY = (
    "from cq_scheduler.models import RepeatingTask; RepeatingTask.objects.create("
    "name='shop.tasks.publish', args=[1], crontab='30 2 * * *', timezone='Europe/Paris')"
)
VIEWPORTS = [(360, "light"), (360, "dark"), (1280, "light"), (1280, "dark")]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def site(data: Path) -> Iterator[str]:
    """The address of the demo's admin, which has run one import."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CQ_DEMO_DATA", str(data))
        environment.setenv("DJANGO_SUPERUSER_PASSWORD", "admin")
        manage("migrate")
        manage("createsuperuser", "--noinput", "--username=admin", "--email=a@b.test")
        manage("shell", "-c", "from shop import tasks; tasks.import_catalogue.delay()")
        manage("cqworker", "--burst", "--processes=1")
        manage("shell", "-c", DAILY)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, str(MANAGE), "runserver", "--noreload", str(port)]
        server = Process(data / "runserver.log", *command)
        try:
            until(lambda: answers(port), "the site")
            yield f"http://127.0.0.1:{port}/admin/"
        finally:
            server.kill()


def manage(*arguments: str) -> None:
    """Run a command of the demo's manage.py, with its own settings."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "settings"}
    command = [sys.executable, str(MANAGE), *arguments]
    subprocess.run(command, env=environment, check=True, timeout=PATIENCE)


def answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium, "there is no Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        yield started
        started.close()


@pytest.fixture
def expect() -> Any:
    """Waits for what is to be seen; Playwright is in no other environment."""
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE * 1000)
    return expect


@contextmanager
def page_of(
    browser: Browser, site: str, width: int = 1280, scheme: str = "light"
) -> Iterator[Page]:
    """A page of somebody who has logged in, on which no script may fail."""
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    context.set_default_timeout(PATIENCE * 1000)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))

    def hear(said: Any) -> None:
        # Chromium asks for an icon by itself; the demo has none.
        if said.type == "error" and "/favicon.ico" not in said.location["url"]:
            complaints.append(f"{said.location['url']}: {said.text}")

    page.on("console", hear)
    page.goto(site)
    page.fill("#id_username", "admin")
    page.fill("#id_password", "admin")
    page.click("[type=submit]")
    yield page
    context.close()
    assert complaints == []


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


@pytest.mark.parametrize(("width", "scheme"), VIEWPORTS)
def test_no_page_is_wider_than_the_window(
    width: int, scheme: str, browser: Browser, site: str
) -> None:
    with page_of(browser, site, width, scheme) as page:
        for path in ("cq/task/", "cq/worker/", f"{SCHEDULES}/", f"{SCHEDULES}/add/"):
            page.goto(site + path)
            assert overflow(page) <= 0, path
        for path in ("cq/task/", f"{SCHEDULES}/"):
            page.goto(site + path)
            page.click("#result_list tbody th a")
            assert overflow(page) <= 0, page.url


def overflow(page: Page) -> int:
    """How many pixels of it are only seen by scrolling sideways."""
    return int(
        page.evaluate(
            "document.documentElement.scrollWidth"
            " - document.documentElement.clientWidth"
        )
    )
