"""The demo, as ``hatch run demo`` starts it: it needs no server, so once is enough."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from http.cookiejar import CookieJar
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import (
    HTTPCookieProcessor,
    OpenerDirector,
    ProxyHandler,
    build_opener,
)

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.backend("sqlite")

RUN = Path(__file__).resolve().parent.parent / "demo" / "run.py"
#: Seconds. It is to take less than a minute, on a machine that does nothing else.
PATIENCE = 240.0

Demo = tuple["subprocess.Popen[bytes]", Path]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    """Starts the demo with data of its own; ends it with all that it has started."""
    started: list[subprocess.Popen[bytes]] = []
    # As from a shell: nothing of the settings of the tests.
    strange = ("CQ_", "DJANGO_", "PYTHONPATH")
    env = {k: v for k, v in os.environ.items() if not k.startswith(strange)}
    env["CQ_DEMO_DATA"] = str(tmp_path / "data")

    def start(*flags: str) -> Demo:
        output = tmp_path / "output"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, str(RUN), *flags],
                cwd=tmp_path,
                env=env,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        started.append(process)
        return process, output

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    for pid in left_running(tmp_path):
        os.kill(pid, signal.SIGKILL)


def left_running(folder: Path) -> list[int]:
    """Processes that have a file in the folder open; where there is no /proc, none."""
    found = []
    for descriptors in Path("/proc").glob("[0-9]*/fd"):
        try:
            files = [os.readlink(f) for f in descriptors.iterdir()]
        except OSError:  # gone by now, or somebody else's
            continue
        pid = int(descriptors.parent.name)
        if pid != os.getpid() and any(str(folder) in f for f in files):
            found.append(pid)
    return found


def until(
    happened: Callable[[], object], output: Path, process: subprocess.Popen
) -> None:
    end = time.monotonic() + PATIENCE
    while not happened():
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < end, output.read_text()
        time.sleep(0.05)


def test_workers_are_killed_and_nothing_is_lost_or_doubled(
    demo: Callable[..., Demo], tmp_path: Path
) -> None:
    process, output = demo()
    assert process.wait(PATIENCE) == 0, output.read_text()
    said = " ".join(output.read_text().split())
    assert "was killed (SIGKILL)" in said
    assert "The import is COMPLETE: '1000 products published'" in said
    assert "products wanted 1000, lost 0, doubled 0" in said
    assert "part 0: products 0 to 19" in said  # the log is shown as it grows
    assert "50/50" in said
    for step in ("charge", "reserve", "a lamp", "mail"):
        assert re.search(rf" {step} worker \d+ was killed \(SIGKILL\) in it", said)
        # It was begun anew, and done once; the approval came as no worker was there.
        assert re.search(rf" {step} [2-9] 1 ", said)
    assert "approval all workers were killed; ann has approved without one" in said
    assert "The order is COMPLETE: 'a lamp and two chairs sent'" in said
    for how in ("hatch run demo --serve", "hatch run manage cq list", "cq show "):
        assert how in said
    assert left_running(tmp_path) == []


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_site_stays_up_until_it_is_told_to_end(
    demo: Callable[..., Demo], signum: int, tmp_path: Path
) -> None:
    process, output = demo("--serve")
    until(lambda: "Ctrl-C ends it" in output.read_text(), output, process)
    said = output.read_text()
    (address,) = re.findall(r"(http://\S+/admin/)\s+log in as", said)
    ((user, password),) = re.findall(r"log in as (\w+), password (\w+)", said)

    browser = build_opener(HTTPCookieProcessor(CookieJar()), ProxyHandler({}))
    until(lambda: answers(browser, address), output, process)
    page = browser.open(address).read().decode()
    (token,) = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    form = {
        "username": user,
        "password": password,
        "csrfmiddlewaretoken": token,
        "next": "/admin/",
    }
    with browser.open(f"{address}login/", urlencode(form).encode()) as entered:
        assert (entered.status, entered.url) == (200, address)
    with browser.open(f"{address}cq/task/") as page:
        assert page.status == 200
        assert "shop.tasks.import_catalogue" in page.read().decode()

    shop = address.removesuffix("admin/")
    page = browser.open(shop).read().decode()
    (token,) = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    form = {"csrfmiddlewaretoken": token}
    page = browser.open(f"{shop}order/", urlencode(form).encode()).read().decode()
    # Its bar is told by a socket: the site is one under ASGI.
    assert 'data-socket="/ws/cq/"' in page
    with browser.open(f"{shop}static/cq/progress.js") as module:
        assert module.status == 200

    process.send_signal(signum)  # to it alone; a terminal tells the whole group
    assert process.wait(PATIENCE) == 0, output.read_text()
    assert "Traceback" not in output.read_text()
    assert left_running(tmp_path) == []


def answers(browser: OpenerDirector, address: str) -> bool:
    try:
        with browser.open(address) as response:
            return bool(response.status == 200)
    except URLError:
        return False
