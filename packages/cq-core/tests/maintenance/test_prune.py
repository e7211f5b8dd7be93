"""Pruning where a project's own rows point at tasks, their edges and their logs."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, models
from django.db.models import (
    CASCADE,
    DO_NOTHING,
    PROTECT,
    RESTRICT,
    SET_DEFAULT,
    SET_NULL,
)
from django.test.utils import CaptureQueriesContext
from forced import BEFORE, NOW, after, draft, forced, forced_many, saved
from referring import referring

from cq.logs import storage
from cq.logs.buffer import LogBuffer
from cq.maintenance import prune, referrer_checks, rescue
from cq.models import Attempt, Edge, Stack, Task, TaskLog, Worker
from cq.status import Status
from cq.tables import referrers
from cq.workers import stacks
from cq.workers.lease import Lease

pytestmark = pytest.mark.django_db(transaction=True)

DB = "default"


@pytest.fixture(autouse=True)
def _first_time(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    referrers._said.clear()
    prune._come_to.clear()


def key(on_delete: Any, to: str = "cq.Task", **options: Any) -> Any:
    return models.ForeignKey(to, on_delete, null=True, related_name="+", **options)


def ids() -> set[Any]:
    return set(Task.objects.values_list("pk", flat=True))


def old(parent: Task | None = None, **values: Any) -> Task:
    return forced(Status.COMPLETE, parent, **{"result_ttl": 0} | values)


def line(task: Task) -> TaskLog:
    return TaskLog.objects.create(
        root_id=task.root_id, task=task, number=1, level=20, time=NOW, message="x"
    )


def attempt(task: Task) -> Attempt:
    return Attempt.objects.create(task=task, number=1, ended=NOW, outcome="failed")


def test_a_key_that_is_set_to_null_stops_nothing() -> None:
    with referring(key(SET_NULL)) as (Export,):
        one, other = old(), old()
        export = Export.objects.create(row=one)
        kept = Export.objects.create(row=forced(Status.COMPLETE))

        assert prune.prune(DB, NOW) == 2

        export.refresh_from_db()
        kept.refresh_from_db()
        assert export.row_id is None
        assert kept.row_id is not None
        assert not ids() & {one.pk, other.pk}


@pytest.mark.parametrize("one_to_one", [True, False])
def test_what_cascades_goes_with_its_task(*, one_to_one: bool) -> None:
    field = key(CASCADE)
    if one_to_one:
        field = models.OneToOneField("cq.Task", CASCADE, related_name="+")
    with referring(field) as (Export,):
        Export.objects.create(row=old())
        kept = Export.objects.create(row=forced(Status.COMPLETE))

        assert prune.prune(DB, NOW) == 1

        assert list(Export.objects.all()) == [kept]


def test_what_has_a_default_gets_it() -> None:
    default = forced(Status.COMPLETE)
    with referring(key(SET_DEFAULT, default=default.pk)) as (Export,):
        export = Export.objects.create(row=old())

        assert prune.prune(DB, NOW) == 1

        export.refresh_from_db()
        assert export.row_id == default.pk


def test_a_set_of_tasks_loses_what_is_pruned() -> None:
    with referring(models.ManyToManyField("cq.Task", related_name="+")) as (Export,):
        export = Export.objects.create()
        kept = forced(Status.COMPLETE)
        export.row.set([kept, *(old() for _ in range(3))])

        assert prune.prune(DB, NOW) == 3

        assert list(export.row.all()) == [kept]


def test_what_the_database_does_not_enforce_dangles() -> None:
    with referring(key(DO_NOTHING, db_constraint=False)) as (Export,):
        task = old()
        export = Export.objects.create(row=task)

        with CaptureQueriesContext(connection) as queries:
            assert prune.prune(DB, NOW) == 1

        export.refresh_from_db()
        assert export.row_id == task.pk
        assert "export" not in " ".join(q["sql"] for q in queries)
        export.delete()


@pytest.mark.parametrize("rule", [PROTECT, RESTRICT, DO_NOTHING])
def test_what_is_protected_keeps_its_tree_alone_and_is_named_once(
    rule: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with referring(key(rule)) as (Export,):
        alone, root = old(), old()
        child = old(root)
        grandchild = old(child)
        Export.objects.create(row=alone)
        Export.objects.create(row=child)
        line(grandchild)
        free, free_root = old(), old()
        free_child = old(free_root)

        with caplog.at_level(logging.WARNING, "cq.prune"):
            assert prune.prune(DB, NOW, limit=2) + prune.prune(DB, NOW) == 3
            assert prune.prune(DB, NOW) == 0

        assert ids() == {alone.pk, root.pk, child.pk, grandchild.pk}
        assert not ids() & {free.pk, free_root.pk, free_child.pk}
        assert TaskLog.objects.count() == 1
        (record,) = caplog.records
        assert "contenttypes.Export" in record.getMessage()
        assert "SET_NULL" in record.getMessage()
        Export.objects.all().delete()
        assert prune.prune(DB, NOW) == 4


def test_what_is_protected_by_what_would_go_with_it_stays_too() -> None:
    with referring(key(CASCADE)) as (Export,):
        far = models.ForeignKey(Export, PROTECT, related_name="+")
        with referring(far, name="Invoice") as (Invoice,):
            kept, _gone, root = old(), old(), old()
            child = old(root)
            for task in (kept, child):
                Invoice.objects.create(row=Export.objects.create(row=task))

            assert prune.prune(DB, NOW) == 1

            assert ids() == {kept.pk, root.pk, child.pk}
            assert "contenttypes.Invoice" in referrers._said


def test_a_pass_goes_on_behind_what_is_protected() -> None:
    with referring(key(PROTECT)) as (Export,):
        rows = [
            draft(Status.COMPLETE, finished=BEFORE - timedelta(9 - i), result_ttl=0)
            for i in range(9)
        ]
        saved(rows)
        for task in rows[:5]:
            Export.objects.create(row=task)

        # At most three are looked at in each.
        passes = [prune.prune(DB, NOW, limit=3) for _ in range(4)]

        assert sum(passes) == 4
        assert not ids() - {task.pk for task in rows[:5]}
        # What is protected no longer is found by a later one.
        Export.objects.all().delete()
        assert sum(prune.prune(DB, NOW, limit=3) for _ in range(4)) == 5
        assert not prune.has_more(DB)


@pytest.mark.parametrize("to", ["cq.Edge", "cq.TaskLog", "cq.Attempt"])
@pytest.mark.parametrize(("rule", "stays"), [(SET_NULL, False), (PROTECT, True)])
def test_keys_to_what_goes_with_a_task_are_honoured_as_well(
    rule: Any, to: str, *, stays: bool
) -> None:
    with referring(key(rule, to)) as (Export,):
        root = old()
        child, follower = old(root), old(root)
        rows = {
            "cq.Edge": after(follower, child, met=True),
            "cq.TaskLog": line(child),
            "cq.Attempt": attempt(child),
        }
        other = old()
        export = Export.objects.create(row=rows[to])

        prune.prune(DB, NOW)

        export.refresh_from_db()
        assert (export.row_id is not None) == stays
        assert ids() == ({root.pk, child.pk, follower.pk} if stays else set())
        assert other.pk not in ids()
        assert Edge.objects.exists() == TaskLog.objects.exists() == stays
        assert Attempt.objects.exists() == stays


def test_the_last_stack_of_a_task_goes_with_it() -> None:
    task = old()
    stacks.keep(DB, "web:1", {task.pk: "here"})
    assert Stack.objects.get().text == "here"
    assert prune.prune(DB, NOW) == 1
    assert not Stack.objects.exists()


def test_where_nothing_is_pointed_at_a_batch_goes_in_a_few_statements() -> None:
    with referring(key(SET_NULL), key(PROTECT)):
        forced_many(500, Status.COMPLETE, result_ttl=0)

        with CaptureQueriesContext(connection) as queries:
            assert prune.prune(DB, NOW) == 500

        assert len(queries) <= 16


def test_a_batch_that_is_pointed_at_goes_in_a_few_statements_too() -> None:
    with referring(key(SET_NULL)) as (Export,):
        tasks = forced_many(500, Status.COMPLETE, result_ttl=0)
        Export.objects.bulk_create([Export(row=task) for task in tasks])

        with CaptureQueriesContext(connection) as queries:
            assert prune.prune(DB, NOW) == 500

        # SQLite takes so many ids in a statement and no more.
        assert len(queries) <= 30
        assert Export.objects.filter(row=None).count() == 500


@pytest.mark.backend("postgres", "sqlite")
def test_a_table_that_no_model_tells_of_keeps_what_it_points_at(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept, root = old(), old()
    child = old(root)
    others = forced_many(20, Status.COMPLETE, result_ttl=0)
    types = {"postgresql": "uuid", "sqlite": "char(32)"}
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE untold (row_id {types[connection.vendor]} NOT NULL"
            " REFERENCES cq_tasks (id) DEFERRABLE INITIALLY DEFERRED)"
        )
        for task in (kept, child):
            pk = task.pk if connection.vendor == "postgresql" else task.pk.hex
            cursor.execute("INSERT INTO untold VALUES (%s)", [pk])
    try:
        with caplog.at_level(logging.WARNING, "cq.prune"):
            assert prune.prune(DB, NOW) == 20
            assert prune.prune(DB, NOW) == 0
        assert ids() == {kept.pk, root.pk, child.pk}
        assert not ids() & {task.pk for task in others}
        assert len(caplog.records) == 1
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE untold")


@pytest.mark.parametrize(("rule", "stays"), [(SET_NULL, False), (PROTECT, True)])
def test_a_worker_that_is_pointed_at_ends_and_is_rescued_all_the_same(
    rule: Any, caplog: pytest.LogCaptureFixture, *, stays: bool
) -> None:
    with referring(key(rule, "cq.Worker")) as (Export,):
        dead = [
            Worker.objects.create(
                id=n, kind="test", host="h", pid=1, started=BEFORE, last_seen=BEFORE
            )
            for n in (5, 6)
        ]
        running = [forced(Status.RUNNING, worker_id=worker.pk) for worker in dead]
        lease = Lease(DB, "test")
        lease.register()
        for pk in (dead[0].pk, lease.worker):
            Export.objects.create(row_id=pk)

        lease.close()
        with caplog.at_level(logging.WARNING, "cq.rescue"):
            assert rescue.rescue_dead(DB, NOW) == len(running)
            rescue.rescue_dead(DB, NOW)

        left = {dead[0].pk, lease.worker} if stays else set()
        assert set(Worker.objects.values_list("pk", flat=True)) == left
        gone = [r for r in caplog.records if "is gone; 1 tasks" in r.getMessage()]
        assert len(gone) == 2


def test_a_log_is_cut_but_for_lines_that_are_protected(settings: Any) -> None:
    settings.CQ_LOG_LIMIT = 20
    with referring(key(PROTECT, "cq.TaskLog")) as (Export,):
        task = forced(Status.RUNNING)
        lines = [
            TaskLog(root=task, task=task, number=n, level=20, time=NOW, message=str(n))
            for n in range(1, 21)
        ]
        TaskLog.objects.bulk_create(lines)
        Task.objects.filter(pk=task.pk).update(log_lines=20)
        Export.objects.create(row=TaskLog.objects.get(number=11))
        buffer = LogBuffer(DB, task.pk, fence=task.fence, attempt=1)
        for number in range(21, 31):
            buffer.add(str(number), 20, True, None)

        storage.write(buffer)

        numbers = set(TaskLog.objects.values_list("number", flat=True))
        assert 11 in numbers
        assert 30 in numbers
        assert 12 not in numbers


@pytest.mark.parametrize(
    ("rule", "enforced", "told"),
    [
        (PROTECT, False, "PROTECT."),
        (RESTRICT, True, "RESTRICT."),
        (DO_NOTHING, True, "DO_NOTHING, and the database enforces it."),
        (DO_NOTHING, False, None),
        (SET_NULL, True, None),
        (CASCADE, True, None),
    ],
)
def test_a_key_that_keeps_tasks_for_ever_is_named_by_a_check(
    rule: Any, told: str | None, *, enforced: bool
) -> None:
    assert referrer_checks.check_referrers() == []
    with referring(key(rule, db_constraint=enforced)):
        found = referrer_checks.check_referrers()
    assert [m.id for m in found] == (["cq.W030"] if told else [])
    for message in found:
        start = "contenttypes.Export.row points at cq.Task with on_delete="
        assert message.msg == start + str(told)
        assert "SET_NULL" in message.hint
