"""The examples of the README and the tutorial, run in a site made as the README says."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest
from examples import ROOT, Site, blocks, place

if TYPE_CHECKING:
    from collections.abc import Iterator

# What is shown is the same on each of them; the README's own is tried on PostgreSQL, too.
pytestmark = pytest.mark.backend("sqlite")


@pytest.fixture
def address() -> Iterator[str]:
    """Where something answers 200."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_the_tutorial_does_what_it_says(project: Site, address: str) -> None:
    shown = "http://127.0.0.1:8000/admin/login/"
    found = [block.replace(shown, address) for block in blocks("docs/tutorial.md")]
    mended = next(b for b in found if b.startswith("# shop/tasks.py: in place"))
    files = [b for b in found if place(b)]
    shell = [b for b in found if not place(b) and b is not mended]
    again = next(b for b in shell if "failed=True" in b)
    for block in files:
        project.put(block)
    project.manage("makemigrations", "shop", "--verbosity=0")
    project.manage("migrate", "--verbosity=0")
    with project.worker():
        for block in shell:
            if block is not again:
                project.check(block)
        assert "shop.tasks.count_products" in project.manage("cqscheduler", "list")
    project.mend("shop/tasks.py", "send_goods", mended)
    with project.worker():
        project.check(again)
    assert "Subject: Welcome" in (project.folder / "worker.log").read_text()


@pytest.mark.backend("sqlite", "postgres")
def test_the_readme_shows_a_retry_a_schedule_and_progress(project: Site) -> None:
    definition, shell = blocks("README.md")
    project.put(SUPPLIER)
    project.put(definition)
    with project.worker():
        project.check(shell + "\nassert t.status == 'COMPLETE', t.error\n")
        assert "shop.tasks.import_catalogue" in project.manage("cqscheduler", "list")
        project.check(
            "from cq.models import Task\n"
            "Task.objects.count()  # 51\n"
            "Task.objects.get(failures=1).name  # 'shop.tasks.import_page'\n"
            "t = Task.objects.get(parent=None)\n"
            "t.progress.fraction  # 1.0\n"
            "len(t.format_logs().splitlines())  # 50\n"
        )


#: The module that the example imports: its first call finds nobody.
SUPPLIER = """# shop/supplier.py
from pathlib import Path


def fetch(number):
    called = Path(__file__).with_name("called")
    if number == 0 and not called.exists():
        called.touch()
        raise ConnectionError("no answer")
    return [number]


def save(page):
    pass
"""


@pytest.mark.backend("sqlite", "postgres")
def test_the_readme_leads_from_nothing_to_a_result(project: Site) -> None:
    readme = (ROOT / "README.md").read_text()
    code = re.search(r"(?s)Put a task into `shop/tasks.py`:\n\n(.*?)\nThen", readme)
    command = re.search(r'shell -c "(.*?)"', readme)
    assert code
    assert command
    project.put("# shop/tasks.py\n" + re.sub(r"(?m)^    ", "", code[1]))
    with project.worker():
        assert (
            project.manage("shell", "-c", command[1]).splitlines()[-1] == "Hello, you"
        )


def test_who_comes_from_celery_finds_the_words(project: Site) -> None:
    definition, shell = blocks("docs/from-celery-and-rq.md")
    project.put(definition)
    with project.worker():
        project.check(shell)


def test_a_page_of_the_site_shows_progress(project: Site) -> None:
    page = "docs/progress.md"
    for block in blocks(page):
        if place(block):
            project.put(block)
    (template,) = [
        html for html in blocks(page, "html") if html.startswith("<!-- shop")
    ]
    first, _, text = template.partition("\n")
    path = project.folder / first.strip("<!->").strip()
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with project.worker():
        project.check(VISITOR)
        for block in blocks(page):
            if not place(block):
                project.check(block)


#: Somebody who has not logged in.
VISITOR = """
import re
from django.test import Client
from cq.models import Task
from django.conf import settings
settings.ALLOWED_HOSTS = ["testserver"]

client = Client()
"cq-progress" in client.get("/report/").content.decode()  # False
client.post("/report/").status_code  # 302
t = Task.objects.get(name="shop.tasks.write_report")
page = client.get("/report/").content.decode()
"Your report" in page  # True
t.wait(60).status  # "COMPLETE"
state = client.get(re.search('data-url="(.*?)"', page)[1]).json()
state["v"], state["ok"], state["amount"]  # (1, True, "3 of 3")
[line["text"] for line in state["log"]][0]  # "month May is counted"
"value=\\"1\\"" in client.get("/report/").content.decode()  # True
"""
