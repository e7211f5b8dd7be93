"""``manage.py cq check-deploy``: what waits and does not fit this code."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

import pytest
import sample_tasks
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from driving import claim, run
from plans import analyze, plan, reads_all

from cq import Status, chain, codec, group, task
from cq.definitions import registry
from cq.maintenance import waiting_calls
from cq.maintenance.unfit_calls import unfit_calls
from cq.models import Task

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from uuid import UUID

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "check_deploy.bill"


class Size(Enum):
    LARGE = "l"


@task(NAME)
def bill(cqt: Any, order: int, size: Any = None, *, language: str = "en") -> None: ...


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


@pytest.fixture
def becomes(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Deploy code in which the task is this function; None: there is none."""

    def deployed(function: Callable[..., Any] | None) -> None:
        monkeypatch.setattr(registry, "_definitions", dict(registry._definitions))
        del registry._definitions[NAME]
        if function is not None:
            task(NAME)(function)

    return deployed


def check(*args: str) -> tuple[str, str | None]:
    """What it says, and the error that it exits with."""
    out, failed = io.StringIO(), None
    try:
        call_command("cq", "check-deploy", *args, stdout=out)
    except CommandError as error:
        failed = error
    assert failed is None or failed.returncode == 1
    return out.getvalue(), None if failed is None else str(failed)


def check_json(*args: str) -> tuple[Any, str | None]:
    text, error = check(*args, "--format", "json")
    return json.loads(text), error


def reasons() -> list[tuple[str, str, str]]:
    return [(f.task, f.parameter, f.problem) for f in unfit_calls("default").findings]


def stored(pk: UUID, args: str, kwargs: str = "{}") -> None:
    texts = {"args": codec.Encoded(args), "kwargs": codec.Encoded(kwargs)}
    Task.objects.filter(pk=pk).update(**texts)


def test_what_fits_is_no_finding() -> None:
    group_row = Group.objects.create(name="a")
    bill.delay(1)
    bill.delay(1, Size.LARGE, language="de")
    bill.delay(1, {"$": group_row, "rows": {group_row, Size.LARGE}})
    bill.delay(sample_tasks.square.delay(2), [sample_tasks.square.delay(3)])
    chain([sample_tasks.square.s(2), bill.s()]).delay()
    group([bill.s(1), bill.s(2)]).delay()
    group([]).delay()

    found, error = check_json()

    assert (found["findings"], found["whole"], error) == ([], True, None)
    waiting = Task.objects.exclude(status=Status.WAITING)
    assert found["looked_at"] == {"task": waiting.count()}
    assert "all of them fit this code" in check()[0]


def test_nothing_that_waits_fits_any_code() -> None:
    text, error = check()
    assert "waiting calls looked at: none" in text
    assert error is None


def test_a_name_that_is_gone_is_named_once_with_some_of_its_tasks(
    becomes: Callable[..., None],
) -> None:
    handles = bill.delay_many([(n,) for n in range(12)])
    ids = [str(handle.pk) for handle in handles]
    becomes(None)

    found, error = check_json("--limit", "3")
    text, _ = check()

    assert found["findings"] == [
        {
            "task": NAME,
            "parameter": None,
            "problem": "is no task here",
            "total": 12,
            "tasks": ids[:3],
            "schedules": [],
        }
    ]
    assert error == f"calls do not fit this code: {NAME}"
    assert [i in text for i in ids] == [True] * 5 + [False] * 7
    assert "... 12 in all" in text


def test_parameters_that_came_or_went_are_named(becomes: Callable[..., None]) -> None:
    bill.delay(1)
    bill.delay(1, 2, language="de")

    def now(cqt: Any, order: int, *, paper: str) -> None: ...

    becomes(now)

    assert reasons() == [
        (NAME, "argument 2", "has no parameter"),
        (NAME, "language", "is no parameter"),
        (NAME, "paper", "is missing"),
    ]


def test_what_cannot_be_read_is_named_by_its_parameter() -> None:
    gone = json.dumps({"$": "enum", "v": [__name__, "Size", "GONE"]})
    stored(bill.delay(1).pk, f"[1, {gone}]")
    stored(bill.delay(1).pk, "[1]", f'{{"language": [{gone}]}}')
    stored(bill.delay(1).pk, '[{"$":"model","v":["shop.Cup",1,"default"]}]')
    stored(bill.delay(1).pk, f"[1, 2, {gone}]")
    stored(bill.delay(1).pk, "[")
    stored(bill.delay(1).pk, '[{"$":1}', "{}")
    stored(bill.delay(1).pk, "{}")

    found = reasons()

    assert [(p, problem.partition(":")[0]) for _, p, problem in found] == [
        ("", "cannot be read"),
        ("", "cannot be read"),
        ("", "cannot be read"),
        ("argument 3", "cannot be read"),
        ("argument 3", "has no parameter"),
        ("language", "cannot be read"),
        ("order", "cannot be read"),
        ("size", "cannot be read"),
    ]
    assert "'GONE'" in found[-1][2]
    assert "'shop'" in found[-2][2]


def test_names_that_look_like_a_tag_are_names() -> None:
    @task("check_deploy.anything")
    def anything(*args: Any, **kwargs: Any) -> None: ...

    anything.delay(**{"$": 1, "v": Size.LARGE})

    assert reasons() == []


def test_rows_that_arguments_name_are_not_asked_for() -> None:
    row = Group.objects.create(name="a")
    bill.delay_many([([row] * 5,) for _ in range(20)])
    row.delete()

    with CaptureQueriesContext(connection) as asked:
        assert reasons() == []

    assert not any("auth_group" in query["sql"] for query in asked)


def test_only_what_waits_is_looked_at(becomes: Callable[..., None]) -> None:
    later = bill.using(run_after=timedelta(days=1)).delay(1)
    queued = bill.using(queue="a", priority=7).delay(1)
    again = bill.delay(1)
    in_an_hour = timezone.now() + timedelta(hours=1)
    Task.objects.filter(pk=again.pk).update(status=Status.RETRY, run_after=in_an_hour)
    run(bill.delay(1))
    claim(bill.delay(1))
    becomes(None)

    [found] = check_json()[0]["findings"]

    assert set(found["tasks"]) == {str(t.pk) for t in (later, queued, again)}


def test_a_task_that_takes_over_a_result_needs_its_name_alone() -> None:
    unique = sample_tasks.square.using(unique="a")
    unique.delay(2)

    @task("check_deploy.parent")
    def parent(cqt: Any) -> None:
        cqt.subtask(unique, 2)

    run(parent.delay())
    takes = Task.objects.get(options__takes_result=True)

    assert reasons() == []
    Task.objects.filter(pk=takes.pk).update(name="check_deploy.gone")
    assert reasons() == [("check_deploy.gone", "", "is no task here")]


def test_all_pages_are_looked_at(
    becomes: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_calls, "CALLS_PER_PAGE", 3)
    moment = timezone.now() + timedelta(hours=1)
    for number in range(7):
        bill.delay(number)
        bill.using(queue="b").delay(number)
        bill.using(run_after=timedelta(hours=number + 1)).delay(number)
    again = bill.delay_many([(n,) for n in range(7)])
    ids = [handle.pk for handle in again]
    # Several of one moment: none is left out, and none is counted twice.
    Task.objects.filter(pk__in=ids).update(status=Status.RETRY, run_after=moment)
    becomes(None)

    [found] = unfit_calls("default", limit=100).findings

    assert (found.total, len(set(found.calls))) == (28, 28)


def test_it_ends_when_its_time_is_over(
    becomes: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    bill.delay(1)
    becomes(None)
    report = unfit_calls("default", seconds=0)
    assert (report.findings, report.whole) == ([], False)

    monkeypatch.setattr("cq.commands.check_deploy.unfit_calls", lambda *a, **k: report)
    assert "The time was over before all were; --seconds gives more." in check()[0]


def test_each_page_is_found_by_the_index_of_its_status(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bill.delay_many([(n,) for n in range(2000)])
    Task.objects.update(status=Status.COMPLETE, finished=Now())
    in_an_hour = timezone.now() + timedelta(hours=1)
    again = [handle.pk for handle in bill.delay_many([(n,) for n in range(30)])]
    Task.objects.filter(pk__in=again).update(status=Status.RETRY, run_after=in_an_hour)
    bill.delay_many([(n,) for n in range(30)])
    bill.using(run_after=timedelta(hours=1)).delay_many([(n,) for n in range(30)])
    pending = [handle.pk for handle in bill.delay_many([(n,) for n in range(30)])]
    Task.objects.filter(pk__in=pending).update(status=Status.PENDING)
    analyze("cq_tasks")
    monkeypatch.setattr(waiting_calls, "CALLS_PER_PAGE", 20)
    statements: list[tuple[str, Any]] = []

    def remember(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "cq_tasks" in sql:  # schedules are few
            statements.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(remember):
        assert reasons() == []

    # QUEUED, RETRY, PENDING with a date and without: of each two pages. Nothing is
    # SUSPENDED, with a date or without.
    assert len([sql for sql, _ in statements if "LIMIT 20" in sql]) == 10
    for sql, params in statements:
        assert not reads_all(plan(sql, params)), sql


@pytest.mark.parametrize("flag", ["--limit", "--seconds"])
def test_a_number_that_cannot_be_is_refused(flag: str) -> None:
    text, error = check(flag, "0")
    assert (text, error) == ("", f"{flag} is 0, but must be 1 or more")


# --- against a file -------------------------------------------------------------------


def test_a_release_is_compared_with_the_file_of_another(
    becomes: Callable[..., None], tmp_path: Path
) -> None:
    path = str(tmp_path / "signatures.json")
    assert check("--write", path) == ("", None)
    assert "fit this code" in check("--against", path)[0]

    def now(cqt: Any, order: int, size: Any, *, paper: str = "") -> None: ...

    becomes(now)
    with CaptureQueriesContext(connection) as asked:
        found, error = check_json("--against", path)
        text, _ = check("--against", path)

    assert found["findings"] == [
        {"task": NAME, "parameter": "language", "problem": "is no parameter any more"},
        {"task": NAME, "parameter": "size", "problem": "is required now"},
    ]
    assert error == f"calls do not fit this code: {NAME}"
    assert "is required now" in text
    assert len(asked) == 0


def test_a_file_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "signatures.json"
    assert "is no file of signatures" in str(check("--against", str(path))[1])
    path.write_text("[]")
    error = check("--against", str(path))[1]
    assert '(it has no "format": 1); write one by' in str(error)
    path.write_text("[" * 100_000)
    assert "(it is nested too deep)" in str(check("--against", str(path))[1])
    assert "cannot be written" in str(check("--write", str(tmp_path))[1])
