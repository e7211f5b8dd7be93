"""How long the pages of the admin take: a tree of 100,000, a table of a million more."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from cq.models import Task
from cqbench import tasks
from cqbench.copies import copy
from cqbench.workers import worker

if TYPE_CHECKING:
    from collections.abc import Iterator

CHILDREN, CHILDREN_QUICK = 100_000, 1_000
ROWS, ROWS_QUICK = 1_000_000, 10_000
TIMES = 5


def measure(quick: bool) -> dict[str, float]:
    call_command("migrate", verbosity=0)
    with worker() as process:
        parent = tasks.children.delay(CHILDREN_QUICK if quick else CHILDREN)
        process.until_settled(parent)
    one = Task.objects.filter(parent__isnull=True).order_by()[0]
    rows = ROWS_QUICK if quick else ROWS
    # Each of them is a tree of its own.
    copy(Task, one.pk, rows, root_id="new.id")
    client = Client()
    user, _ = get_user_model().objects.get_or_create(
        username="bench", is_staff=True, is_superuser=True
    )
    client.force_login(user)
    took = {name: seconds(client, url) for name, url in urls(parent)}
    return {"top": took.pop("top"), "longest": max(took.values())}


def urls(parent: Task) -> Iterator[tuple[str, str]]:
    tree = reverse("admin:cq_task_change", args=[parent.pk])
    below = Task.objects.filter(parent=parent.pk).order_by()[0]
    yield "top", tree
    yield "below", reverse("admin:cq_task_change", args=[below.pk])
    all_of_them = reverse("admin:cq_task_changelist")
    yield "list", all_of_them
    for query in (
        "status=COMPLETE",
        "status=RUNNING",
        "queue=default",
        "q=cqbench",
        f"q={parent.pk}",
        "p=100",
    ):
        yield query, f"{all_of_them}?{query}"


def seconds(client: Client, url: str) -> float:
    """Return the median of some looks at a page; the first one fills the caches."""
    client.get(url)
    found: list[float] = []
    for _ in range(TIMES):
        began = time.perf_counter()
        response = client.get(url)
        found.append(time.perf_counter() - began)
        assert response.status_code == 200, (url, response.status_code)
    return median(found)
