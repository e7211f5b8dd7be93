"""``hatch run docs:pictures``: the pages of the admin, as pictures for the README and the docs.

A site with the demo's settings runs the demo's import; a day of figures and a night's failures
are made up beside it. What Chromium shows of the pages is written to docs/images.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

DOCS = Path(__file__).resolve().parent
IMAGES = DOCS / "images"
MANAGE = DOCS.parent / "demo" / "manage.py"
#: Pixels: as wide as a page of the docs shows it.
WIDTH, HEIGHT = 1280, 860
#: Seconds for a server to answer, and for a page to be there.
PATIENCE = 60
WORKERS = 2

#: Pages by the picture's name: address below the admin, and how many pixels of it from the
#: top; None for all.
PAGES: dict[str, tuple[str, int | None]] = {
    "admin-overview": ("cq/overview/", 1_200),
    "admin-queues": ("cq/queue/", 420),
    "admin-tasks": ("cq/task/?status=FAILURE,INCOMPLETE,LOST", 760),
    "admin-task": ("cq/task/{root}/change/", 1_400),
    "admin-schedule": ("cq_scheduler/repeatingtask/{schedule}/change/", None),
}


def main() -> None:
    """Write all pictures. Raises CalledProcessError where the site cannot be made."""
    with tempfile.TemporaryDirectory() as data:
        os.environ |= {"CQ_DEMO_DATA": data, "DJANGO_SETTINGS_MODULE": "settings"}
        os.environ["DJANGO_SUPERUSER_PASSWORD"] = "admin"
        manage("migrate", "--verbosity=0")
        manage("createsuperuser", "--noinput", "--username=admin", "--email=a@b.test")
        manage("shell", "-c", "from shop import tasks; tasks.import_catalogue.delay()")
        manage("cqworker", "--burst", "--processes=1")
        found = manage("shell", given=(DOCS / "picture_data.py").read_text())
        root, schedule = found.split()[-2:]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        servers = [
            subprocess.Popen([sys.executable, str(MANAGE), *arguments])
            for arguments in (
                ["runserver", "--noreload", str(port)],
                ["cqworker", f"--processes={WORKERS}", "--quiet"],
            )
        ]
        try:
            until(lambda: answers(port), "the site has not answered")
            until(are_alive, "no workers have come")
            take(f"http://127.0.0.1:{port}/admin/", root, schedule)
        finally:
            for server in servers:
                server.terminate()
                server.wait(PATIENCE)


def manage(*arguments: str, given: str = "") -> str:
    """Run a command of the demo's manage.py; return what it has printed.

    given: what stands in its standard input.
    """
    done = subprocess.run(
        [sys.executable, str(MANAGE), *arguments],
        check=True,
        input=given,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


def answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def are_alive() -> bool:
    count = "from cq.models import Worker; print(Worker.objects.count())"
    return int(manage("shell", "-c", count).split()[-1]) >= WORKERS


def until(happened: Callable[[], bool], otherwise: str) -> None:
    """Wait until something has happened. Raises TimeoutError."""
    end = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > end:
            raise TimeoutError(f"{otherwise} in {PATIENCE} s")
        time.sleep(0.1)


def take(site: str, root: str, schedule: str) -> None:
    """Take all pictures, as somebody who has logged in."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("there is no Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        page = browser.new_page(
            viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light"
        )
        page.goto(site)
        page.fill("#id_username", "admin")
        page.fill("#id_password", "admin")
        page.click("[type=submit]")
        for name, (address, height) in PAGES.items():
            page.goto(site + address.format(root=root, schedule=schedule))
            take_one(page, IMAGES / f"{name}.png", height)
        browser.close()


def take_one(page: Page, target: Path, height: int | None) -> None:
    """Take the picture of the page that is shown."""
    whole = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size(
        {"width": WIDTH, "height": min(whole, height) if height else whole}
    )
    page.screenshot(path=str(target))
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    print(target.relative_to(DOCS.parent), target.stat().st_size // 1024, "KiB")


if __name__ == "__main__":
    main()
