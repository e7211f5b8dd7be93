"""``each``: the rows of a query, each once, whoever dies between two chunks."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import OperationalError
from driving import fresh, run

from cq import task
from cq.db.conflicts import Tries
from cq.durable.chunks import each
from cq.models import Step
from cq.status import Status
from cq.tables.queries import tasks

pytestmark = pytest.mark.django_db(transaction=True)

script: dict[str, Any] = {}
seen: list[list[str]] = []


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    script.clear()
    seen.clear()
    Group.objects.bulk_create([Group(name=f"g{n:02}") for n in range(10)])


def mark(rows: list[Group]) -> None:
    seen.append([row.name for row in rows])
    for row in rows:
        Group.objects.filter(pk=row.pk).update(name=f"{row.name}!")
    if script.get("fails at") == len(seen):
        raise ValueError("no")


@task(durable=True, retries=3, backoff=0)
def backfill(cqt: Any) -> int:
    return cqt.each("rows", Group.objects.order_by("pk"), mark, chunk=3)


@task(durable=True)
def of_code(cqt: Any) -> Any:
    return script["code"](cqt)


def names() -> list[str]:
    return sorted(Group.objects.values_list("name", flat=True))


def test_each_row_is_done_once_in_chunks() -> None:
    handle = run(backfill.delay())
    assert (handle.status, handle.result) == (Status.COMPLETE, 10)
    assert [len(some) for some in seen] == [3, 3, 3, 1]
    assert names() == [f"g{n:02}!" for n in range(10)]
    assert Step.objects.count() == 1


def test_a_rerun_goes_on_behind_the_last_chunk_that_was_committed() -> None:
    script["fails at"] = 3
    handle = run(backfill.delay())
    assert (handle.status, handle.error) == (Status.RETRY, "no")
    assert names()[:7] == ["g00!", "g01!", "g02!", "g03!", "g04!", "g05!", "g06"]
    tasks("default").filter(pk=handle.pk).update(status=Status.QUEUED, run_after=None)
    handle = run(fresh(handle))
    assert (handle.status, handle.result) == (Status.COMPLETE, 10)
    assert names() == [f"g{n:02}!" for n in range(10)]


def test_by_several_columns_and_downward() -> None:
    User.objects.bulk_create(
        [User(username=f"u{n}", first_name=f"f{n % 2}") for n in range(7)]
    )
    found: list[str] = []
    rows = User.objects.order_by("-first_name", "username")
    script["code"] = lambda cqt: cqt.each(
        "u", rows, lambda some: found.extend(u.username for u in some), chunk=2
    )
    run(of_code.delay())
    assert found == ["u1", "u3", "u5", "u0", "u2", "u4", "u6"]


@pytest.mark.parametrize(
    "rows",
    [
        lambda: User.objects.order_by("first_name"),
        lambda: User.objects.order_by(),
        lambda: User.objects.order_by("?"),
        lambda: User.objects.order_by("groups__pk"),
        lambda: User.objects.order_by("pk").values("pk"),
        lambda: User.objects.order_by("pk")[:5],
        lambda: [1, 2],
    ],
)
def test_an_order_that_tells_no_place_is_refused(rows: Any) -> None:
    script["code"] = lambda cqt: cqt.each("u", rows(), print)
    handle = run(of_code.delay())
    assert (handle.status, handle.exception) == (Status.FAILURE, "TypeError")
    assert "each() " in (handle.error or "")


def test_its_own_retries_are_of_a_chunk() -> None:
    script["fails at"] = 2
    script["code"] = lambda cqt: cqt.using(retries=1, backoff=0).each(
        "r", Group.objects.order_by("pk"), mark, chunk=5
    )
    assert fresh(run(of_code.delay())).result == 10
    assert [len(some) for some in seen] == [5, 5, 5]
    assert names() == [f"g{n:02}!" for n in range(10)]


def test_nothing_is_nothing() -> None:
    Group.objects.all().delete()
    assert run(backfill.delay()).result == 0
    assert seen == []


def test_a_chunk_that_others_were_in_the_way_of_is_done_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write, calls = each.write_last, []

    def then_undone(*given: Any, **options: Any) -> None:
        write(*given, **options)
        calls.append(1)
        if len(calls) == 2:
            raise OperationalError("a deadlock")

    monkeypatch.setattr(each, "write_last", then_undone)
    monkeypatch.setattr(Tries, "is_there_another", lambda *_: True)
    handle = run(backfill.delay())

    assert (handle.status, handle.result) == (Status.COMPLETE, 10)
    assert names() == [f"g{n:02}!" for n in range(10)]
    assert [some[0] for some in seen] == ["g00", "g03", "g03", "g06", "g09"]


def test_a_chunk_that_cannot_be_written_is_not_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write, calls = each.write_last, []

    def then_fails(*given: Any, **options: Any) -> None:
        write(*given, **options)
        calls.append(1)
        if len(calls) == 2:
            raise ValueError("at the commit")

    monkeypatch.setattr(each, "write_last", then_fails)
    script["code"] = lambda cqt: cqt.using(retries=1, backoff=0).each(
        "r", Group.objects.order_by("pk"), mark, chunk=5
    )
    assert run(of_code.delay()).result == 10
    assert names() == [f"g{n:02}!" for n in range(10)]
