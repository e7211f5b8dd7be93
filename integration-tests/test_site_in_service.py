"""A site made by the pages, as it is run: its deploy, its errors, and its figures."""

from __future__ import annotations

import configparser
import json
import shlex
from typing import TYPE_CHECKING

import pytest
from examples import blocks, place

if TYPE_CHECKING:
    from examples import Site

pytestmark = pytest.mark.backend("sqlite", "postgres")

TOKEN = "as-long-as-a-token-has-to-be"

TASKS = """# shop/tasks.py
from cq import task


@task
def hello(cqt, name):
    return "Hello, " + name


@task
def breaks(cqt):
    raise ValueError("nothing is left in store")
"""

#: In place of Sentry's server.
TO_A_FILE = """
import json
from sentry_sdk.transport import Transport


class ToFile(Transport):
    def capture_envelope(self, envelope):
        for item in envelope.items:
            with open(BASE_DIR / "sent", "a") as file:
                file.write(json.dumps([item.headers["type"], item.payload.json]) + "\\n")


"""

USED = f"""
from django.conf import settings
from django.test import Client
from shop.tasks import breaks, hello

settings.ALLOWED_HOSTS = ["testserver"]
hello.delay("you").get(60)  # "Hello, you"
breaks.delay().wait(60).status  # "FAILURE"
client = Client()
client.get("/metrics").status_code  # 401
answer = client.get("/metrics", headers={{"authorization": "Bearer {TOKEN}"}})
lines = answer.content.decode().splitlines()
'cq_tasks{{queue="default",status="FAILURE"}} 1.0' in lines  # True
'cq_tasks{{queue="default",status="COMPLETE"}} 1.0' in lines  # True
any(line.startswith("cq_workers") for line in lines)  # True
"""


def of_settings(page: str) -> str:
    """The first block of a page that belongs to the settings."""
    return next(b for b in blocks(page) if place(b) == "settings.py")


def test_a_site_in_service_shows_its_figures_and_one_event_for_an_error(
    project: Site,
) -> None:
    project.put(TASKS)
    sentry = of_settings("docs/errors.md")
    project.set(TO_A_FILE + sentry.replace(".init(", ".init(transport=ToFile, "))
    project.set(of_settings("docs/metrics.md") + f"CQ_METRICS_TOKEN = {TOKEN!r}")
    (urls,) = [b for b in blocks("docs/metrics.md") if place(b) == "urls.py"]
    project.put("# site1/urls.py\n" + urls.replace("patterns = ", "patterns += "))
    unit = configparser.ConfigParser(interpolation=None)
    unit.read_string(*blocks("docs/deploying.md", "ini"))
    command = shlex.split(unit["Service"]["ExecStart"])

    with project.worker(*command[command.index("cqworker") + 1 :]):
        project.check(USED)

    lines = (project.folder / "sent").read_text().splitlines()
    (event,) = [item for kind, item in map(json.loads, lines) if kind == "event"]
    assert event["transaction"] == "shop.tasks.breaks"
    assert event["exception"]["values"][0]["value"] == "nothing is left in store"
