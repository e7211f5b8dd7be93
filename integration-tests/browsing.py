"""The demo's site, started, and a real browser that looks at it: fixtures of browser tests."""

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
from cq_backends import free_port
from processes import PATIENCE, Process, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

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
        port = free_port()
        command = [sys.executable, str(MANAGE), "runserver", "--noreload", str(port)]
        with served(data / "runserver.log", port, command) as admin:
            yield admin


@pytest.fixture(scope="module")
def asgi(site: str, data: Path) -> Iterator[str]:
    """The same site under ASGI, with sockets."""
    port = free_port()
    command = [sys.executable, "-m", "daphne", "-p", str(port), "live_asgi:application"]
    with served(data / "daphne.log", port, command) as admin:
        yield admin


@contextmanager
def served(log: Path, port: int, command: list[str]) -> Iterator[str]:
    """The address of the admin that a server answers at, until it is killed."""
    server = Process(log, *command)
    try:
        until(lambda: answers(port), f"the site of {command}")
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
        # A page whose headers a test has changed is of no address any more, and would
        # not be let open a socket to this machine.
        flags = ["--no-sandbox", "--disable-features=LocalNetworkAccessChecks"]
        started = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield started
        started.close()


@pytest.fixture
def expect() -> Any:
    """Waits for what is to be seen; Playwright is in no other environment."""
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE * 1000)
    return expect


@contextmanager
def page_of(browser: Browser, site: str, *looks: Any, **more: Any) -> Iterator[Page]:
    """A page of somebody who has logged in, as `new_page` makes it."""
    with new_page(browser, *looks, **more) as page:
        page.goto(site)
        page.fill("#id_username", "admin")
        page.fill("#id_password", "admin")
        page.click("[type=submit]")
        yield page


@contextmanager
def new_page(
    browser: Browser, width: int = 1280, scheme: str = "light", script: bool = True
) -> Iterator[Page]:
    """A page without a session, on which no script may fail."""
    context = browser.new_context(
        java_script_enabled=script,
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
    yield page
    context.close()
    assert complaints == []


def seen_as(page: Page) -> Iterator[tuple[int, str]]:
    """The page narrow and wide, light and dark, one after the other."""
    for width, scheme in VIEWPORTS:
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        yield width, scheme


def overflow(page: Page) -> int:
    """How many pixels of it are only seen by scrolling sideways."""
    return int(
        page.evaluate(
            "document.documentElement.scrollWidth"
            " - document.documentElement.clientWidth"
        )
    )
