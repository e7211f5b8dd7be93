"""How long each page of the admin takes, in a table of millions, with a tree and figures."""

from __future__ import annotations

import sys

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection
from django.test import Client

from cqbench.filling import beside, figures, history
from cqbench.pages.addresses import addresses
from cqbench.pages.looks import Page, table

TASKS, TASKS_QUICK = 3_000_000, 20_000
#: Of so many tasks there is one in the tree.
PER_CHILD, MOST_CHILDREN = 30, 100_000
LOOKS, LOOKS_QUICK = 7, 2


def measure(quick: bool, tasks: int | None = None) -> dict[str, float]:
    call_command("migrate", verbosity=0)
    tasks = tasks or (TASKS_QUICK if quick else TASKS)
    history.fill(tasks)
    root = beside.tree(min(MOST_CHILDREN, tasks // PER_CHILD))
    beside.workers()
    beside.schedules()
    # The last: what they have of the present minute is soon old.
    figures.fill()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")
    client = Client()
    user, _ = get_user_model().objects.get_or_create(
        username="bench", is_staff=True, is_superuser=True
    )
    client.force_login(user)
    pages = [Page(label, url) for label, url in addresses(root)]
    # The first look fills the caches. Then one page after the other, and all again: what
    # the machine does beside falls on all alike.
    for number in range(1 + (LOOKS_QUICK if quick else LOOKS)):
        beside.heartbeat()
        for page in pages:
            page.look(client)
            if not number:
                page.forget()
    # What is printed to stdout is read by who has started this.
    print(f"\n{tasks:,} tasks\n\n{table(pages)}\n", file=sys.stderr)
    return {
        "p50": max(page.p50 for page in pages),
        "queries": max(page.queries for page in pages),
        "statement": max(page.slowest for page in pages),
        "within": sum(page.p50 <= 300 for page in pages) / len(pages) * 100,
    }
