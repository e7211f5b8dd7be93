"""A worker beside the web server: of a newcomer's project with ``runserver`` alone, and
of one small machine with daphne or gunicorn."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import cq_backends
import pytest
from examples import blocks
from processes import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.backend("sqlite")

SETTINGS = """
    from pathlib import Path

    BASE_DIR = Path(__file__).resolve().parent.parent
    SECRET_KEY = "of a project that is being tried"
    DEBUG = {debug}
    ALLOWED_HOSTS = ["*"]
    USE_TZ = True
    INSTALLED_APPS = ["cq", "cq_channels", "cq_scheduler", "shop"]
    ROOT_URLCONF = "shop.urls"
    WSGI_APPLICATION = "site1.wsgi.application"
    DATABASES = {{
        "default": {{
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": BASE_DIR / "db.sqlite3",
            "OPTIONS": {{"timeout": 20, "transaction_mode": "IMMEDIATE"}},
        }}
    }}
    CQ_HEARTBEAT = 0.5
    {more}
"""
TASKS = """
    from cq import task


    @task
    def greet(cqt, name):
        return f"{greeting} {{name}}"
"""
URLS = """
    from django.http import HttpResponse
    from django.urls import path

    from cq.models import Worker
    from shop.tasks import greet


    def greeted(request):
        return HttpResponse(greet.delay("ann").get(timeout=60))


    def workers(request):
        found = Worker.objects.filter(kind="worker")
        return HttpResponse(" ".join(str(w.pid) for w in found))


    urlpatterns = [path("greeted", greeted), path("workers", workers)]
"""


def shown(beginning: str) -> str:
    """The block of the page that begins so."""
    (found,) = [b for b in blocks("docs/embedded.md") if b.startswith(beginning)]
    return found


class Site:
    """A project in a folder of its own, and its server."""

    def __init__(self, folder: Path, *, debug: bool, more: str = "") -> None:
        self.folder = folder
        self.port = cq_backends.free_port()
        self.log = folder / "server.log"
        self.server: subprocess.Popen[bytes] | None = None
        for package in ("site1", "shop"):
            (folder / package).mkdir()
            (folder / package / "__init__.py").touch()
        self.write("site1/settings.py", SETTINGS.format(debug=debug, more=more))
        self.write("shop/urls.py", URLS)
        for kind in ("wsgi", "asgi"):
            self.write(f"site1/{kind}.py", shown(f"# {kind}.py, "))
        self.greets("hello")

    def write(self, path: str, text: str) -> None:
        (self.folder / path).write_text(textwrap.dedent(text))

    def greets(self, greeting: str) -> None:
        self.write("shop/tasks.py", TASKS.format(greeting=greeting))

    def manage(self, *arguments: str) -> None:
        subprocess.run(self._django(*arguments), **self._place(), check=True)

    def start(self, *command: str) -> None:
        with self.log.open("wb") as output:
            self.server = subprocess.Popen(
                command,
                **self._place(),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def runserver(self, *flags: str) -> None:
        self.start(*self._django("runserver", *flags, f"127.0.0.1:{self.port}"))

    def get(self, path: str) -> str | None:
        """The body of an answer; None where there is none yet, or an error."""
        try:
            url = f"http://127.0.0.1:{self.port}/{path}"
            with urlopen(url, timeout=PATIENCE) as answer:
                return str(answer.read().decode())
        except (HTTPError, URLError, ConnectionError):
            return None

    def workers(self) -> list[int]:
        return [int(pid) for pid in (self.get("workers") or "").split()]

    def until_greeted(self, greeting: str) -> None:
        try:
            until(lambda: self.get("greeted") == f"{greeting} ann", repr(greeting))
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log.read_text()}") from None

    def close(self) -> None:
        if self.server is not None and self.server.poll() is None:
            os.killpg(self.server.pid, signal.SIGKILL)
        if self.server is not None:
            self.server.wait()

    def _django(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "django", *arguments]

    def _place(self) -> dict[str, Any]:
        settings = {
            "DJANGO_SETTINGS_MODULE": "site1.settings",
            "PYTHONPATH": str(self.folder),
            "PYTHONUNBUFFERED": "1",
        }
        return {"cwd": self.folder, "env": os.environ | settings}


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, debug=True)
    yield site
    site.close()


@pytest.fixture
def small_machine(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, debug=False)
    settings = tmp_path / "site1" / "settings.py"
    settings.write_text(settings.read_text() + shown("# settings.py"))
    site.manage("migrate", "--verbosity", "0")
    yield site
    site.close()


def test_a_newcomer_has_a_result_with_runserver_alone_and_after_a_change(
    newcomer: Site,
) -> None:
    newcomer.runserver()
    until(lambda: "run manage.py migrate" in newcomer.log.read_text(), "its sentence")
    newcomer.manage("migrate", "--verbosity", "0")
    newcomer.until_greeted("hello")
    (before,) = newcomer.workers()

    newcomer.greets("good day")

    newcomer.until_greeted("good day")
    until(lambda: not _lives(before), "the end of the worker with the old code")
    said = newcomer.log.read_text()
    assert said.count("cqworker waits: the table") == 1
    assert "cqworker runs beside this server: 1 task known" in said
    assert "CQ_EMBEDDED = False turns it off" in said
    assert "shop.tasks.greet" in said


def test_the_worker_ends_with_the_server_however_that_ends(newcomer: Site) -> None:
    newcomer.manage("migrate", "--verbosity", "0")
    newcomer.runserver("--noreload")
    newcomer.until_greeted("hello")
    (worker,) = newcomer.workers()
    assert newcomer.server is not None

    newcomer.server.kill()

    until(lambda: not _lives(worker), "the end of the worker")


def test_without_debug_or_when_switched_off_none_starts(tmp_path: Path) -> None:
    for number, (debug, more) in enumerate(
        [(False, ""), (True, "CQ_EMBEDDED = False"), (True, "CQ_SERIAL = True")]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        site = Site(folder, debug=debug, more=more)
        site.manage("migrate", "--verbosity", "0")
        site.runserver("--noreload")
        try:
            until(partial(answers, site.port), "an answer")
            # It is started before the server answers: a thread of it would be there.
            assert site.server is not None
            assert not _children(site.server.pid)
        finally:
            site.close()


def answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def _children(pid: int) -> list[str]:
    found: list[str] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += (task / "children").read_text().split()
    return found


def test_of_many_processes_of_a_server_one_keeps_the_worker(
    small_machine: Site,
) -> None:
    small_machine.start(
        *(sys.executable, "-m", "gunicorn", "--workers", "3"),
        *("--bind", f"127.0.0.1:{small_machine.port}", "site1.wsgi"),
    )
    for _ in range(10):
        small_machine.until_greeted("hello")
    (worker,) = small_machine.workers()
    keeper = _parent(_parent(worker))
    # The one that keeps it is killed: another takes over, with a worker of its own.
    os.kill(keeper, signal.SIGKILL)
    until(lambda: not _lives(worker), "the end of its worker")

    small_machine.until_greeted("hello")

    (another,) = small_machine.workers()
    assert _parent(_parent(another)) != keeper
    assert small_machine.server is not None
    small_machine.server.terminate()
    small_machine.server.wait(PATIENCE)
    until(lambda: not _lives(another), "the end of the worker")


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_server_of_asgi_has_one_too(small_machine: Site) -> None:
    small_machine.start(
        *(sys.executable, "-m", "daphne", "-b", "127.0.0.1"),
        *("-p", str(small_machine.port), "site1.asgi:application"),
    )

    small_machine.until_greeted("hello")

    (worker,) = small_machine.workers()
    assert small_machine.server is not None
    small_machine.server.terminate()
    small_machine.server.wait(PATIENCE)
    until(lambda: not _lives(worker), "the end of the worker")


def test_with_the_hook_of_gunicorn_none_waits_for_a_request(
    small_machine: Site,
) -> None:
    small_machine.write("gunicorn.conf.py", shown("from cq_channels.wsgi import post_"))
    small_machine.start(
        *(sys.executable, "-m", "gunicorn"),
        *("--bind", f"127.0.0.1:{small_machine.port}", "site1.wsgi"),
    )

    until(lambda: BANNER in small_machine.log.read_text(), "the worker")


BANNER = "cqworker runs beside this server"


def test_a_worker_that_is_killed_is_replaced(small_machine: Site) -> None:
    small_machine.start(
        *(sys.executable, "-m", "gunicorn"),
        *("--bind", f"127.0.0.1:{small_machine.port}", "site1.wsgi"),
    )
    small_machine.until_greeted("hello")
    (worker,) = small_machine.workers()

    os.kill(_parent(worker), signal.SIGKILL)
    until(lambda: not _lives(worker), "its end")

    small_machine.until_greeted("hello")
    assert small_machine.workers() != [worker]


def test_ctrl_c_gives_what_runs_the_time_to_end(newcomer: Site) -> None:
    newcomer.write(
        "shop/tasks.py",
        """
        import time
        from pathlib import Path

        from cq import task


        @task(atomic=False)
        def greet(cqt, name):
            Path("begun").touch()
            time.sleep(1)
            Path("done").touch()
        """,
    )
    newcomer.manage("migrate", "--verbosity", "0")
    newcomer.runserver()
    until(lambda: newcomer.get("workers"), "the worker")
    newcomer.manage("shell", "-c", "from shop.tasks import greet; greet.delay('ann')")
    until((newcomer.folder / "begun").exists, "the start of the task")
    assert newcomer.server is not None

    # As a terminal does: to the server, and to the worker beside it.
    os.killpg(newcomer.server.pid, signal.SIGINT)

    until((newcomer.folder / "done").exists, "the end of the task")
    newcomer.server.wait(PATIENCE)
    assert "SIGKILL" not in newcomer.log.read_text()
