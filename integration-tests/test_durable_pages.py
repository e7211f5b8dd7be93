"""The pages about durable tasks, each run in a site made as the README says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from examples import blocks, place

if TYPE_CHECKING:
    from examples import Site

# What is shown is the same on each of them; the README begins with this one.
pytestmark = pytest.mark.backend("sqlite")

#: What is another each time, and what stands for it: ids, moments, lengths of time.
VARIES = {
    r"\b01[0-9a-f]{6}-[0-9a-f-]+|\b01[0-9a-f]{30}\b|\bID\b": "<id>",
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?\+00:00": "<moment>",
    r"\d+(\.\d+)? (ms|s|min)\b": "<time>",
}


def plain(text: str) -> list[str]:
    """Return the lines of a text without what is another each time, and its spaces."""
    for pattern, name in VARIES.items():
        text = re.sub(pattern, name, text)
    return [" ".join(line.split()) for line in text.splitlines()]


def shows(project: Site, block: str, pk: str) -> None:
    """Run the command of a block of a terminal, and find each of its lines again."""
    command, _, wanted = block.partition("\n")
    words = re.findall(r"'[^']*'|\S+", command.removeprefix("$ python manage.py "))
    words = [pk if word == "ID" else word.strip("'") for word in words]
    said = project.manage(*words)
    found = plain(said)
    for line in plain(wanted):
        assert line in found, f"{line!r} is not what {command} says:\n{said}"
        found = found[found.index(line) + 1 :]


def until(project: Site, name: str, condition: str) -> str:
    """Wait until something holds of `t`, the latest task of that name; its id."""
    said = project.check(
        "import time\n"
        "from cq.models import Task\n"
        "end = time.monotonic() + 60\n"
        "def found():\n"
        f"    t = Task.objects.filter(name={name!r}).latest('submitted')\n"
        f"    return ({condition}) and t.pk\n"
        "while not (pk := found()):\n"
        "    assert time.monotonic() < end\n"
        "    time.sleep(0.05)\n"
        "print(pk)\n"
    )
    return said.split()[-1]


def in_place(project: Site, first: str, block: str, before: str = "") -> None:
    """Put a block in the place of what begins with `first`, up to what follows it."""
    file = project.folder / "shop" / "tasks.py"
    head, found, tail = file.read_text().partition(first)
    assert found, f"{first!r} is not in {file}"
    rest = tail[tail.index(before) :] if before else ""
    file.write_text(head + block.partition("\n")[2] + "\n\n" + rest)


def test_an_order_survives_a_deploy_and_is_paid_back(project: Site) -> None:
    page = "docs/durable-tutorial.md"
    # The reader has to have time for Ctrl-C, the test has none.
    every = [block.replace("seconds=10", "seconds=1") for block in blocks(page)]
    models, tasks, takes, release, counts, fails, mended, again = every
    listed, waits, approves, handed_over, complete, logs, tree = blocks(page, "console")
    project.put(models)
    project.put(tasks)
    project.manage("makemigrations", "shop", "--verbosity=0")
    project.manage("migrate", "--verbosity=0")
    with project.worker():
        project.check(takes)
        pk = until(project, "shop.tasks.fulfil", "t.status == 'SUSPENDED'")
        shows(project, listed, pk)
        shows(project, waits, pk)
        shows(project, approves, pk)
        until(
            project,
            "shop.tasks.fulfil",
            "t.subtasks.filter(status='COMPLETE').exists()",
        )
    shows(project, handed_over, pk)
    in_place(project, "PRICES = ", release)
    with project.worker():
        until(project, "shop.tasks.fulfil", "t.status == 'COMPLETE'")
        shows(project, complete, pk)
        shows(project, logs, pk)
        project.check(counts)
        project.check(fails)
        shows(project, tree, pk)
    in_place(project, "@task\ndef pack(", mended, "PRICES = ")
    with project.worker():
        project.check(again)
    log = (project.folder / "worker.log").read_text()
    assert re.search(r"shop\.tasks\.fulfil \S+ handed over after", log)


def test_a_backfill_goes_on_where_it_was(project: Site) -> None:
    page = "docs/backfills.md"
    every = blocks(page)
    for block in every:
        if place(block) == "site1/settings.py":
            project.set(block)
        elif place(block):
            project.put(block.replace(SOME, SLOWLY))
    project.manage("makemigrations", "shop", "--verbosity=0")
    project.manage("migrate", "--verbosity=0")
    whole, parts = [block for block in every if not place(block)]
    [shown] = blocks(page, "console")
    with project.worker():
        pk = project.check(f"{whole}\nprint(backfill.pk)").split()[-1]
        shows(project, shown, pk)
        project.check(parts)
        project.check(STOPPED)


SOME = "    def fill_some(products):\n"
#: So that there is something to stop.
SLOWLY = "    import time\n" + SOME + "        time.sleep(0.05)\n"
#: As by `cq revoke` and `cq retry`, but in time.
STOPPED = """
import time
from shop.backfills import fill_and_tell
from shop.models import Product

Product.objects.bulk_create([Product(price=n) for n in range(5_000)])
Product.objects.update(gross=None)
before = Product.objects.filter(gross=None).count()
t = fill_and_tell.delay()
while not any(step.name == "products" for step in t.steps):
    time.sleep(0.01)
t.revoke("the database is too busy")
t.wait(60).status  # 'REVOKED'
0 < Product.objects.filter(gross=None).count() < before  # True
done = t.steps[1].result[0]
t.retry()
t.get(60)  # 10000
t.steps[1].result[0] > done > 0  # True
Product.objects.filter(gross=None).count()  # 0
"""


def test_somebody_answers(project: Site) -> None:
    every = blocks("docs/webhooks-and-approvals.md")
    for block in every:
        if place(block) == "site1/settings.py":
            project.set(block)
        elif place(block):
            project.put(block)
    with project.worker():
        for block in every:
            if place(block):
                continue
            if "cq.answer_url(t" in block:
                until(project, "shop.refunds.refund", "t.status == 'SUSPENDED'")
            project.check(block)
    assert "yes: https://shop.example/tasks/answer/" in (
        project.folder / "worker.log"
    ).read_text().replace("=\n", "")
