"""The recipes of the pages, each run in a site made as the README says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from examples import blocks, place

if TYPE_CHECKING:
    from examples import Site

# What is shown is the same on each of them; the README begins with this one.
pytestmark = pytest.mark.backend("sqlite")


def test_what_is_around_a_run_does_what_the_page_says(project: Site) -> None:
    every = blocks("docs/hooks.md")
    [settings] = [b for b in every if b.startswith("CQ_MIDDLEWARE")]
    [shell] = [b for b in every if b.startswith("from django.utils")]
    for block in every:
        if place(block):
            project.put(block)
    settings += (
        'CQ_MIDDLEWARE += ["shop.hooks.for_one_tenant", "shop.hooks.patient"]\n'
        'CQ_CONTEXT += ["shop.hooks.tenant"]\n'
    )
    project.set(settings)
    with project.worker():
        project.check(shell)
    log = (project.folder / "worker.log").read_text()
    assert "shop.tasks.greet is COMPLETE" in log
    assert "shop.tasks.greet_later, attempt 1: 0." in log


def test_what_is_paused_waits_and_runs_once_it_is_resumed(project: Site) -> None:
    every = blocks("docs/pausing.md")
    for block in every:
        if place(block):
            project.put(block)
    in_code, one_task = [b for b in every if not place(b)]
    project.check(in_code)
    assert "is paused" in project.manage("cq", "pause", "default", "--until", "2h")
    assert "is resumed" in project.manage("cq", "resume", "default")
    with project.worker():
        project.check(one_task)


def test_what_has_limits_runs_as_the_page_says(project: Site) -> None:
    every = blocks("docs/limits.md")
    project.put(PROVIDER)
    for block in every:
        if place(block) == "shop/tasks.py":
            project.put(block)
        elif place(block):
            project.set(block)
    first, _key, of_call = [b for b in every if not place(b)]
    assert "20/s (90/s)" in project.manage("cq", "limits", "stripe", "--rate", "20/s")
    assert "as the settings say" in project.manage("cq", "limits", "stripe", "--reset")
    with project.worker():
        project.check(first)
        project.check(of_call)
        project.check(RECIPES_OF_LIMITS)


def test_a_durable_order_comes_to_its_end(project: Site) -> None:
    every = blocks("docs/durable.md")
    for block in every:
        if place(block):
            project.put(block)
    project.set(
        'CQ_TASK_MODULES = ["shop.polling", "shop.offers", "shop.restocking"]\n'
    )
    # The order is gone on with.
    shell = "".join(b for b in every if not place(b))
    with project.worker():
        project.check(shell)


def test_what_has_a_key_is_made_once(project: Site) -> None:
    every = blocks("docs/once.md")
    for block in every:
        if place(block):
            project.put(block)
    live, _function, remembered, quiet = [b for b in every if not place(b)]
    project.check(live)
    with project.worker():
        project.check(remembered)
        project.check(quiet)


@pytest.mark.backend("sqlite", "postgres")
def test_a_trace_is_what_the_page_says(project: Site) -> None:
    settings, provider, functions, shell = blocks("docs/tracing.md")
    project.put(provider)
    project.put(functions)
    project.set(settings)
    with project.worker():
        project.check(shell)
    # A worker that is stopped has sent what it had.
    log = (project.folder / "worker.log").read_text()
    assert log.count('"name": "process default"') == 2
    assert log.count('"name": "send default"') == 1
    assert len(set(re.findall(r'"trace_id": "(\w+)"', log))) == 1


def test_what_waits_in_the_old_table_is_carried_over(project: Site) -> None:
    project.put("# shop/tasks.py\n" + SEND_EMAIL)
    (command,) = [b for b in blocks("docs/upgrading-from-django-cq.md") if place(b)]
    (project.folder / "shop" / "management" / "commands").mkdir(parents=True)
    project.put(command)
    project.check(OLD_TABLE)
    assert "left there: shop.tasks.gone 3" in project.manage("carry_over")
    project.check(
        "from cq.models import Task\n"
        "from django.db import connection\n"
        "[(t.name, t.args, t.kwargs) for t in Task.objects.all()]"
        "  # [('shop.tasks.send_email', ('ann@example.org',), {'copy': True})]\n"
        "cursor = connection.cursor().execute('SELECT id FROM cq_task ORDER BY id')\n"
        "cursor.fetchall()  # [('2',), ('3',), ('4',)]\n"
    )


SEND_EMAIL = """
from cq import task


@task
def send_email(cqt, address, copy=False):
    return "OK"
"""

#: What waits, what runs, what nobody knows, and what stands behind another.
OLD_TABLE = """
from django.db import connection
cursor = connection.cursor()
cursor.execute("CREATE TABLE cq_task (id, status, signature, parent_id, previous_id)")
call = '{"func_name": "%s", "args": ["ann@example.org"], "kwargs": {"copy": true}}'
known, gone = call % "shop.tasks.send_email", call % "shop.tasks.gone"
rows = [("1", "Q", known, None, None), ("2", "R", known, None, None)]
rows += [("3", "P", gone, None, None), ("4", "P", known, None, "1")]
cursor.executemany("INSERT INTO cq_task VALUES (%s, %s, %s, %s, %s)", rows)
"""


def test_a_serializer_shows_arguments_and_results_as_json(project: Site) -> None:
    (recipe,) = blocks("docs/rest-framework.md")
    project.put(recipe)
    project.put("# shop/tasks.py\n" + TODAY)
    with project.worker():
        project.check(SERIALIZED)


TODAY = """
from cq import task


@task
def remind(cqt, day, numbers):
    return {"day": day}
"""

SERIALIZED = """
import json
from datetime import date
from decimal import Decimal
from django.contrib.auth.models import User
from django.urls import path
from rest_framework.test import APIRequestFactory, force_authenticate
from shop.api import TaskViewSet
from shop.tasks import remind

t = remind.delay(date(2027, 1, 31), (1, 2))
t.wait(60).status  # "COMPLETE"
view = TaskViewSet.as_view({"get": "retrieve"})
request = APIRequestFactory().get("/")
view(request, pk=t.pk).status_code in (401, 403)  # True
force_authenticate(request, User(username="kim", is_staff=True))
shown = json.loads(view(request, pk=t.pk).render().content)
shown["args"]  # [{"$": "date", "v": "2027-01-31"}, {"$": "tuple", "v": [1, 2]}]
shown["kwargs"]  # {}
shown["result"]  # {"day": {"$": "date", "v": "2027-01-31"}}
changing = APIRequestFactory().delete("/")
force_authenticate(changing, User(username="kim", is_staff=True))
view(changing, pk=t.pk).status_code  # 405
"""


def test_an_import_in_short_parts_commits_each_of_them(project: Site) -> None:
    (parts,) = blocks("docs/atomic-or-not.md")
    project.put("# shop/models.py\n" + NUMBERED)
    begin = "from cq import task\nfrom shop.models import Product\n\n\n"
    project.put("# shop/tasks.py\n" + begin + parts)
    migrate(project)
    with project.worker():
        project.check(IMPORTED)


def migrate(project: Site) -> None:
    project.manage("makemigrations", "shop", "--verbosity=0")
    project.manage("migrate", "--verbosity=0")


NUMBERED = """
from django.db import models


class Product(models.Model):
    sku = models.CharField(max_length=20, unique=True)
    name = models.CharField(max_length=100)
"""

IMPORTED = """
from shop.models import Product
from shop.tasks import import_rows

t = import_rows.delay([{"sku": f"A{n}", "name": f"Product {n}"} for n in range(450)])
t.wait(60).status  # "COMPLETE"
Product.objects.count()  # 450
t.progress.fraction  # 1.0
t.subtasks.count()  # 3
"""


def test_a_row_points_at_its_task(project: Site) -> None:
    model, points, without_key, looks = blocks("docs/pointing-at-a-task.md")
    # The page has two models of one name, for one or the other is taken.
    other = without_key.replace("Export", "Remembered")
    project.put(f"# shop/models.py\n{model}\n\n{other}")
    project.put("# shop/tasks.py\n" + EXPORTS)
    migrate(project)
    assert "cq.W030" not in project.manage("check")
    with project.worker():
        project.check(BEFORE_IT_POINTS + points + WHILE_IT_POINTS + looks + NOT_PRUNED)
        project.check(AND_PRUNED + looks + "task  # None")


EXPORTS = """
from cq import task


@task
def make_export(cqt, key):
    return f"export {key}"
"""

BEFORE_IT_POINTS = """
from cq.models import Task
from shop.models import Export, Remembered
from shop.tasks import make_export

"""

WHILE_IT_POINTS = """
export.task.get(60) == f"export {export.pk}"  # True
export.task.status  # "COMPLETE"
export = Remembered.objects.create(task_id=export.task.pk)
"""

NOT_PRUNED = """
task.status  # "COMPLETE"
"""

AND_PRUNED = """
from cq.models import Task
from shop.models import Export, Remembered

len(Task.objects.all().delete()) > 0  # True
Export.objects.get().task  # None
export = Remembered.objects.get()
"""


def test_what_waits_is_run_by_the_next_release(project: Site) -> None:
    *releases, sizes = blocks("docs/changing-a-task.md")
    tasks = project.folder / "shop" / "tasks.py"
    project.put(sizes)
    for release in releases:
        tasks.write_text(release + ONE_WITH_A_SIZE)
        project.check(
            "from shop.tasks import send_invoice\nsend_invoice.delay(7).status  # 'QUEUED'"
        )
    project.check(OLD_MEMBER)
    with project.worker():
        project.check(OF_THREE_RELEASES)


ONE_WITH_A_SIZE = """

from shop.sizes import Size


@task
def pack(cqt, size):
    return size.name
"""

#: As code that has no LARGE yet has stored it.
OLD_MEMBER = """
from cq.models import Task
from shop.tasks import pack
from shop.sizes import Size
from django.db import connection
t = pack.delay(Size.LARGE)
with connection.cursor() as cursor:
    cursor.execute("UPDATE cq_tasks SET args = replace(args, 'LARGE', 'BIG') WHERE name = 'shop.tasks.pack'")
    assert cursor.rowcount == 1
"""

OF_THREE_RELEASES = """
from cq.models import Task
found = Task.objects.filter(name="shop.tasks.send_invoice")
{t.get(60) for t in found}  # {"bill 7 in en"}
found.count()  # 3
Task.objects.get(name="shop.tasks.pack").get(60)  # "LARGE"
"""

PROVIDER = '''# shop/provider.py
"""The other side, which says 429 once."""
from types import SimpleNamespace

answers = [SimpleNamespace(status=429, retry_after=1)]


def refund(order):
    if answers:
        return answers.pop()
    return SimpleNamespace(status=200, text=f"{order} is refunded")
'''
RECIPES_OF_LIMITS = """
from shop.tasks import charge, mail, rebuild_index, refund

refunded = refund.delay(7)
refunded.get(60)  # '7 is refunded'
refunded.failures  # 0
refunded.attempts  # 2

charge.delay(7).get(60)  # '7 is paid'
mail.delay("acme", "a@example.org").get(60)  # 'acme to a@example.org'
rebuild_index.delay().get(60)  # 'rebuilt'
"""
