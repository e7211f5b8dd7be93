"""Code and tables of two releases side by side, and what one of them does not know."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sample_tasks
from django.contrib.auth.models import Group
from django.db import connection
from driving import claim, fresh, run

from cq import codec, task
from cq.checks import vendors
from cq.definitions.backoff import delay_within
from cq.execution import sync_runner
from cq.maintenance import sweep
from cq.models import Task
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2050, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    settings.CQ_UNKNOWN_GRACE = 600


def gone(**values: Any) -> Task:
    """A task whose name was removed, or is of a release that is not here yet."""
    handle = sample_tasks.square.delay(3)
    Task.objects.filter(pk=handle.pk).update(name="shop.tasks.gone", **values)
    return fresh(handle)


def attempts_of(handle: Task) -> Iterator[tuple[datetime, Task]]:
    """Run it each time that it is due; the moments, and what it is then."""
    now = NOW
    while handle.status not in (Status.FAILURE, Status.COMPLETE):
        handle = run(handle, now)
        yield now, handle
        if handle.status == Status.RETRY:
            now = handle.run_after
            sweep.due("default", now)
            handle = fresh(handle)


def test_row_57_an_unknown_task_is_tried_for_ten_minutes_and_then_fails() -> None:
    seen = list(attempts_of(gone()))

    assert [t.status for _, t in seen[:-1]] == [Status.RETRY] * 9
    last, handle = seen[-1]
    assert last - NOW == timedelta(minutes=10)
    assert handle.status == Status.FAILURE
    assert handle.exception == "cq.errors.UnknownTask"
    assert "'shop.tasks.gone'" in handle.error
    assert all("'shop.tasks.gone'" in t.error for _, t in seen)


def test_row_57_it_completes_once_the_name_is_known() -> None:
    handle = run(gone(), NOW)
    assert handle.status == Status.RETRY
    Task.objects.filter(pk=handle.pk).update(name=sample_tasks.square.name)
    sweep.due("default", handle.run_after)

    assert run(handle, handle.run_after).result == 9


def test_row_57_once_it_has_failed_it_can_be_run_again(settings: Any) -> None:
    settings.CQ_UNKNOWN_GRACE = 0
    handle = run(gone())
    assert handle.status == Status.FAILURE
    Task.objects.filter(pk=handle.pk).update(name=sample_tasks.square.name)

    fresh(handle).retry()

    assert run(handle).result == 9


def test_row_57_the_last_delay_is_cut_to_the_grace() -> None:
    delays, failures = [], 0
    while (delay := delay_within(10.0, failures)) is not None:
        delays.append(delay)
        failures += 1

    assert delays == [2.0, 4.0, 4.0]
    assert delay_within(0, 0) is None
    assert delay_within(600.0, 32_000) is None


@task
def takes_one(cqt: Any, addr: str) -> str:
    Group.objects.create(name=addr)
    return addr


@task(retries=1, backoff=0)
def raises_as_a_call_would(cqt: Any) -> None:
    takes_one.definition.check_arguments((), {})


def enqueued(args: str, kwargs: str = "{}") -> Task:
    """A task that was enqueued with these by code of another release."""
    handle = takes_one.delay("a")
    stored = {"args": codec.Encoded(args), "kwargs": codec.Encoded(kwargs)}
    Task.objects.filter(pk=handle.pk).update(**stored)
    return fresh(handle)


CODEC = "cq.errors.CodecError"
MISFITS = [
    ('["a"]', '{"newsletter": true}', "TypeError", "'newsletter'"),
    ("[]", "{}", "TypeError", "'addr'"),
    ('["a", "b"]', "{}", "TypeError", "too many positional"),
    ('[{"$":"enum","v":["cq.status","Status","GONE"]}]', "{}", CODEC, "'GONE'"),
    ('[{"$":"enum","v":["shop","Size","S"]}]', "{}", CODEC, "no Enum 'Size'"),
    ('[{"$":"model","v":["shop.Cup",1,"default"]}]', "{}", CODEC, "'shop'"),
    ('[[{"$":"point","v":[1,2]}]]', "{}", CODEC, "'point'"),
]


@pytest.mark.parametrize(("args", "kwargs", "exception", "said"), MISFITS)
def test_row_58_what_does_not_fit_is_tried_for_ten_minutes_and_then_fails(
    args: str, kwargs: str, exception: str, said: str
) -> None:
    seen = list(attempts_of(enqueued(args, kwargs)))

    assert [t.status for _, t in seen[:-1]] == [Status.RETRY] * 9
    assert all("again for CQ_UNKNOWN_GRACE (600 s)" in t.error for _, t in seen[:-1])
    last, handle = seen[-1]
    assert last - NOW == timedelta(minutes=10)
    assert (handle.status, handle.exception) == (Status.FAILURE, exception)
    assert said in handle.error
    assert "No line of the task ran" in handle.error
    assert "CQ_UNKNOWN_GRACE" not in handle.error
    assert not Group.objects.exists()


def test_row_58_it_completes_once_the_code_fits() -> None:
    handle = run(enqueued("[]"), NOW)
    assert handle.status == Status.RETRY
    Task.objects.filter(pk=handle.pk).update(args=codec.Encoded('["a"]'))
    sweep.due("default", handle.run_after)

    assert run(handle, handle.run_after).result == "a"


def test_row_58_no_try_of_the_grace_counts_against_its_retries() -> None:
    handle = run(enqueued("[]"), NOW)
    Task.objects.filter(pk=handle.pk).update(
        name=raises_once_or_more.name, args=codec.Encoded("[]")
    )
    sweep.due("default", handle.run_after)
    again = run(handle, handle.run_after)
    assert (again.status, again.failures, again.misfits) == (Status.RETRY, 2, 1)
    assert again.error == "its own"
    last = run_again(again)
    assert (last.status, last.failures, last.misfits) == (Status.FAILURE, 3, 1)
    last.retry()
    assert (fresh(last).failures, fresh(last).misfits) == (0, 0)


@task(retries=1, backoff=0)
def raises_once_or_more(cqt: Any) -> None:
    raise ValueError("its own")


def run_again(handle: Task) -> Task:
    sweep.due("default", handle.run_after)
    return run(handle, handle.run_after)


def test_row_58_retries_go_on_when_the_grace_is_over(settings: Any) -> None:
    settings.CQ_UNKNOWN_GRACE = 2
    handle = enqueued("[]")
    Task.objects.filter(pk=handle.pk).update(options={"retries": 2, "backoff": 7})

    seen = [t for _, t in attempts_of(fresh(handle))]

    assert [t.status for t in seen] == [*[Status.RETRY] * 3, Status.FAILURE]
    assert ["CQ_UNKNOWN_GRACE" in t.error for t in seen] == [True, *[False] * 3]


@pytest.mark.parametrize(
    "args", ["[", '[{"$":"date","v":"2050-13-01"}]', '[{"$":"enum","v":1}]']
)
def test_row_58_broken_text_fails_at_once(args: str) -> None:
    handle = run(enqueued(args))

    assert (handle.status, handle.exception) == (Status.FAILURE, CODEC)


def test_row_58_a_type_error_of_the_function_itself_is_its_own() -> None:
    seen = [t for _, t in attempts_of(raises_as_a_call_would.delay())]

    assert [t.status for t in seen] == [Status.RETRY, Status.FAILURE]
    assert all("No line of" not in t.error for t in seen)


def test_row_58_an_old_name_goes_on_by_a_task_of_that_name() -> None:
    """There is no `aliases=`: the old name is kept by a task that passes it on."""

    @task(name="shop.tasks.old_name")
    def old_name(cqt: Any, addr: str) -> Any:
        return cqt.subtask(takes_one, addr)

    handle = run(old_name.delay("a"))
    run(handle.subtasks.get())

    assert fresh(handle).result == "a"


# --- the database is not the one that it was ------------------------------------------


def test_row_38_a_run_whose_row_a_failover_has_lost_ends_without_a_crash() -> None:
    lost, rewound = claim(takes_one.delay("lost")), claim(takes_one.delay("rewound"))
    # The replica had seen one not at all, and of the other not its claim.
    Task.objects.filter(pk=lost.pk).delete()
    Task.objects.filter(pk=rewound.pk).update(
        status=Status.QUEUED, worker=None, fence=0, attempts=0, started=None
    )

    sync_runner.execute(lost)
    sync_runner.execute(rewound)

    assert not Task.objects.filter(pk=lost.pk).exists()
    assert fresh(rewound).status == Status.QUEUED
    assert not Group.objects.exists()
    assert run(rewound).status == Status.COMPLETE
    assert [group.name for group in Group.objects.all()] == ["rewound"]


# --- other databases, other times -----------------------------------------------------


def test_row_45_a_database_that_is_not_tested_is_named_by_a_check(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "django.db.backends.oracle"
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", name)

    [found] = vendors.check_vendor()

    assert found.id == "cq.W007"
    assert name in found.msg


def test_row_45_those_that_are_tested_pass() -> None:
    assert vendors.check_vendor() == []
    assert vendors.check_mysql(databases=["default"]) == []


@pytest.mark.backend("mariadb")
@pytest.mark.parametrize(
    ("mariadb", "version", "said"),
    [
        (True, (10, 11, 4), "'default' is MariaDB 10.11.4"),
        (True, (11, 0, 2), "'default' is MariaDB 11.0.2"),
        (True, (11, 1, 1), "'default' is MariaDB 11.1.1"),
        (True, (10, 6, 20), "'default' is MariaDB 10.6.20"),
        (False, (8, 4, 3), "'default' is MySQL 8.4.3"),
        (False, (11, 0, 0), "'default' is MySQL 11.0.0"),
    ],
)
def test_row_45_mysql_and_an_old_mariadb_are_refused(
    monkeypatch: pytest.MonkeyPatch, mariadb: bool, version: Any, said: str
) -> None:
    monkeypatch.setattr(connection, "mysql_is_mariadb", mariadb)
    monkeypatch.setattr(connection, "mysql_version", version)

    [found] = vendors.check_mysql(databases=["default"])

    assert found.id == "cq.E004"
    assert said in found.msg
    assert "10.11.5" in found.hint


@pytest.mark.backend("mariadb")
def test_row_45_transactions_that_see_too_little_are_refused() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        try:
            [found] = vendors.check_mysql(databases=["default"])
        finally:
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")

    assert found.id == "cq.E005"
    assert "'repeatable read'" in found.msg
    assert "'isolation_level': 'read committed'" in found.hint


def test_row_56_what_is_to_start_in_ten_years_starts_then() -> None:
    then = NOW + timedelta(days=3650)
    handle = sample_tasks.square.using(run_after=then).delay(3)

    assert sweep.due("default", then - timedelta(seconds=1)) == 0
    assert sweep.due("default", then) == 1
    assert run(handle, then).result == 9


@pytest.mark.parametrize("hours", [-1, 1])
def test_row_47_a_clock_that_jumps_takes_no_claim_away(hours: int) -> None:
    claimed = claim(takes_one.delay("a"), NOW)

    sweep.due("default", NOW + timedelta(hours=hours))
    sync_runner.execute(claimed, now=NOW + timedelta(hours=hours))

    assert (fresh(claimed).status, fresh(claimed).attempts) == (Status.COMPLETE, 1)
