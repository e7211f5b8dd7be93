"""``@task`` and what it makes of a function."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sample_tasks
from django.contrib.auth.models import Group
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from cq import CodecError, TaskFailed, UnknownTask, chain, group, plan, registry, task
from cq.ids import uuid7
from cq.models import Edge, Task
from cq.options import Options
from cq.status import Status

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _recorded(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


@task
def bare(cqt: Any, a: int, *, b: int = 2) -> int:
    return a + b


@task("named by position")
def by_position(cqt: Any) -> None: ...


@task(name="named by keyword", queue="mail", priority=5, retries=3)
def by_keyword(cqt: Any) -> None: ...


@task()
def with_empty_parentheses(cqt: Any) -> None: ...


@task
def takes_all(*args: Any, **kwargs: Any) -> Any:
    return [len(args), sorted(kwargs)]


@task
def takes_named(cqt: Any, /, **kwargs: Any) -> Any:
    return sorted(kwargs)


@task
def takes_more(cqt: Any, **kwargs: Any) -> Any:
    return sorted(kwargs)


@task(unique=lambda n: f"number {n}")
def once(cqt: Any, n: int) -> int:
    return n


@task
async def doubles(cqt: Any, n: int) -> int:
    await asyncio.sleep(0)
    return 2 * n


# --- the decorator --------------------------------------------------------------------


def test_a_name_is_where_the_function_is_unless_one_is_given() -> None:
    assert bare.name == f"{__name__}.bare"
    assert by_position.name == "named by position"
    assert by_keyword.name == "named by keyword"
    assert with_empty_parentheses.name.endswith(".with_empty_parentheses")


def test_options_are_kept_and_come_with_defaults() -> None:
    options = by_keyword.definition.options
    assert (options.queue, options.priority, options.retries) == ("mail", 5, 3)
    assert bare.definition.options == Options()


def test_a_task_looks_like_its_function() -> None:
    assert sample_tasks.square.__name__ == "square"
    assert sample_tasks.square.__module__ == "sample_tasks"
    assert callable(sample_tasks.square.__wrapped__)
    assert "square" in repr(sample_tasks.square)


def test_two_names_are_refused() -> None:
    with pytest.raises(TypeError, match="two names, 'a' and 'b'"):
        task("a", name="b")


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(TypeError, match="is no function"):
        task(5)  # type: ignore[call-overload]


def test_a_function_without_a_first_argument_is_refused() -> None:
    with pytest.raises(TypeError, match=r"def lonely\(cqt, \.\.\.\)"):

        @task
        def lonely() -> None: ...

    with pytest.raises(TypeError, match="first argument"):

        @task
        def only_by_name(*, cqt: Any) -> None: ...


def test_a_name_that_is_taken_is_refused_with_both_places() -> None:
    with pytest.raises(ValueError, match=r"taken by .*by_position; give .*another"):

        @task("named by position")
        def another(cqt: Any) -> None: ...


def test_the_same_function_may_be_defined_again() -> None:
    def define() -> Any:
        @task(name="defined twice")
        def again(cqt: Any) -> None: ...

        return again

    define()
    second = define()
    assert registry.get("defined twice").function is second.__wrapped__


@pytest.mark.parametrize("name", ["", "x" * 201])
def test_a_name_has_1_to_200_characters(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 200"):
        registry.define(name, lambda cqt: None, Options())


def test_an_unknown_option_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(TypeError, match=r"no option 'retry'.*retries"):
        task(retry=3)
    with pytest.raises(TypeError, match="no option 'colour'"):
        bare.using(colour="red")


@pytest.mark.parametrize(
    "option",
    [
        {"atomic": 1},
        {"queue": ""},
        {"queue": "x" * 101},
        {"priority": 101},
        {"priority": True},
        {"run_after": datetime(2030, 1, 1)},
        {"run_after": 5},
        {"run_after": timedelta.max},
        {"expires": "tomorrow"},
        {"timeout": 0},
        {"timeout": float("inf")},
        {"retries": -1},
        {"backoff": -1},
        {"backoff": float("nan")},
        {"result_ttl": -1},
        {"result_ttl": float("inf")},
        {"unique": ""},
        {"on_lost": "ignore"},
        {"log_limit": 0},
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_and_named(option: dict[str, Any]) -> None:
    (name,) = option
    with pytest.raises(ValueError, match=f"^{name} is .*but must be"):
        task(**option)
    with pytest.raises(ValueError, match=f"^{name} is .*but must be"):
        bare.using(**option)
    with pytest.raises(ValueError, match=f"^{name} is .*but must be"):
        bare.s(1).using(**option)


def test_wrong_rules_of_retry_on_are_refused() -> None:
    with pytest.raises(ValueError, match="retry_on is"):
        task(retry_on=ValueError)
    with pytest.raises(ValueError, match="retry_on is"):
        task(retry_on=("ValueError",))


@pytest.mark.parametrize(
    "option", [{"retry_on": (ValueError,)}, {"backoff": lambda attempt: 1.0}]
)
def test_code_has_no_place_in_a_row(option: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="is code and has no place in a row"):
        bare.using(**option)
    with pytest.raises(TypeError, match="is code and has no place in a row"):
        bare.s(1).using(**option)


def test_names_lists_the_projects_tasks_and_not_cqs_own() -> None:
    names = registry.names()
    assert bare.name in names
    assert names == sorted(names)
    assert not any(name.startswith("cq.") for name in names)
    assert "cq.group" in registry.names(builtin=True)


def test_an_unknown_name_is_said_with_what_to_look_at() -> None:
    with pytest.raises(UnknownTask, match=r"'no.such.task'.*tasks\.py"):
        registry.get("no.such.task")


# --- delay ----------------------------------------------------------------------------


def test_a_recorded_task_is_a_row_with_what_was_given() -> None:
    handle = bare.delay(1, b=3)
    row = Task.objects.get()
    assert row == handle
    assert (row.name, row.args, row.kwargs) == (bare.name, (1,), {"b": 3})
    assert (row.queue, row.priority, row.status) == ("default", 0, Status.QUEUED)
    assert (row.parent, row.root, row.previous) == (None, row, None)
    assert (row.attempts, row.losses, row.fence) == (0, 0, 0)
    assert handle.pk.version == 7
    assert handle.created is True


def test_a_handle_knows_what_the_database_decided() -> None:
    handle = bare.using(run_after=timedelta(hours=1)).delay(1)
    row = Task.objects.get()
    assert handle.submitted == row.submitted
    assert handle.run_after == row.run_after
    assert row.run_after - row.submitted >= timedelta(minutes=59)


def test_ids_are_in_the_order_of_the_calls() -> None:
    ids = [bare.delay(n).pk for n in range(20)]
    assert ids == sorted(ids)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {}), ((1, 2), {}), ((1,), {"c": 1}), ((1,), {"a": 1}), ((1,), {"cqt": 1})],
)
def test_arguments_that_do_not_fit_raise_where_the_task_is_made(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    for delay in (bare.delay, bare.using(priority=1).delay):
        with pytest.raises(TypeError, match="bare"):
            delay(*args, **kwargs)
    with pytest.raises(TypeError, match="bare"):
        bare(*args, **kwargs)
    with pytest.raises(TypeError, match="bare"):
        bare.s(*args, **kwargs).delay()
    assert not Task.objects.exists()


def test_the_runs_own_name_is_no_keyword_argument() -> None:
    with pytest.raises(TypeError, match="multiple values for argument 'cqt'"):
        takes_more.delay(cqt=1)
    assert takes_named(cqt=1) == ["cqt"]


def test_a_function_of_any_arguments_takes_them() -> None:
    assert takes_all(1, 2, x=3) == [3, ["x"]]
    assert takes_all.delay(1, 2, x=3).args == (1, 2)


def test_using_changes_the_row_and_leaves_the_task_alone() -> None:
    moment = datetime(2040, 1, 2, 3, 4, 5, tzinfo=UTC)
    changed = bare.using(queue="mail", priority=-7).using(
        run_after=moment, expires=moment + timedelta(1), result_ttl=60, on_lost="fail"
    )
    row = Task.objects.get(pk=changed.delay(1).pk)
    assert (row.queue, row.priority) == ("mail", -7)
    assert (row.run_after, row.expires) == (moment, moment + timedelta(1))
    assert (row.result_ttl, row.rerun_lost) == (60, False)
    assert row.status == Status.PENDING
    assert Task.objects.get(pk=bare.delay(1).pk).queue == "default"


def test_a_time_that_has_passed_is_now() -> None:
    assert bare.using(run_after=timedelta(0)).delay(1).status == Status.QUEUED
    past = datetime(2020, 1, 1, tzinfo=UTC)
    assert bare.using(run_after=past).delay(1).status == Status.QUEUED


def test_a_task_that_may_lose_its_worker_is_marked_so() -> None:
    assert bare.delay(1).rerun_lost is True
    assert bare.using(atomic=False).delay(1).rerun_lost is False
    assert bare.using(atomic=False, on_lost="retry").delay(1).rerun_lost is True


def test_queues_are_free_unless_listed(settings: Any) -> None:
    assert bare.using(queue="anything").delay(1).queue == "anything"
    settings.CQ_QUEUES = ["default", "mail"]
    assert bare.using(queue="mail").delay(1).queue == "mail"
    with pytest.raises(ValueError, match=r"'anything' is not in CQ_QUEUES \(default"):
        bare.using(queue="anything").delay(1)
    assert Task.objects.count() == 2


def test_a_call_not_yet_made_is_made_by_delay() -> None:
    call = bare.s(1, b=5)
    assert not Task.objects.exists()
    assert call.delay().kwargs == {"b": 5}
    assert call.using(priority=3).delay().priority == 3
    assert bare.si(1).delay().args == (1,)


def test_enqueueing_is_one_insert() -> None:
    bare.delay(0)
    with CaptureQueriesContext(connection) as queries:
        bare.delay(1)
    assert len(queries) == 1, queries.captured_queries


# --- unique ---------------------------------------------------------------------------


def test_a_second_live_task_of_a_key_is_the_first() -> None:
    first = once.delay(1)
    second = once.delay(1)
    assert second == first
    assert (first.created, second.created) == (True, False)
    assert once.delay(2).created is True
    assert Task.objects.count() == 2


def test_a_key_must_be_text() -> None:
    wrong = once.using(unique=lambda n: n)
    with pytest.raises(ValueError, match="the unique key is 1, but must be a string"):
        wrong.delay(1)


def test_a_function_that_gives_no_key_asks_for_none() -> None:
    free = once.using(unique=lambda n: None)
    assert free.delay(1) != free.delay(1)


# --- delay_many -----------------------------------------------------------------------


def test_row_18_many_are_one_insert_for_each_thousand() -> None:
    with CaptureQueriesContext(connection) as queries:
        handles = bare.delay_many([(n,) for n in range(2500)])
    inserts = [q for q in queries.captured_queries if "INSERT" in q["sql"]]
    assert len(inserts) == 3
    # BEGIN and COMMIT beside them, as the backend logs them.
    assert len(queries) <= 5
    assert Task.objects.count() == len(handles) == 2500


def test_handles_are_made_when_looked_at_and_in_order() -> None:
    handles = bare.delay_many([(n,) for n in range(5)])
    with CaptureQueriesContext(connection) as queries:
        assert [h.args for h in handles] == [(0,), (1,), (2,), (3,), (4,)]
        assert handles[-1].args == (4,)
        assert [h.args for h in handles[1:3]] == [(1,), (2,)]
    assert len(queries) == 0
    assert repr(handles) == "<5 tasks>"
    with pytest.raises(IndexError):
        handles[5]


def test_row_18_many_are_recorded_all_or_not_at_all() -> None:
    with pytest.raises(TypeError, match="bare"):
        bare.delay_many([(1,), (2, 3)])
    with pytest.raises(CodecError):
        bare.delay_many([(1,), (object(),)])
    with pytest.raises(TypeError, match="call 1 is 2, but must be a tuple"):
        bare.delay_many([(1,), 2])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="must be a tuple"):
        bare.delay_many(["ab"])
    assert not Task.objects.exists()


def test_row_18_where_the_database_refuses_one_of_many_none_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = [*(uuid7() for _ in range(2999))]
    monkeypatch.setattr(
        plan, "uuid7", iter([*ids[:1500], ids[0], *ids[1500:]]).__next__
    )
    with pytest.raises(IntegrityError), transaction.atomic():
        bare.delay_many([(n,) for n in range(3000)])
    assert not Task.objects.exists()
    monkeypatch.undo()
    assert bare.delay(1).status == Status.QUEUED


def test_none_of_many_is_nothing() -> None:
    assert list(bare.delay_many([])) == []


def test_many_take_a_generator_and_options() -> None:
    handles = bare.using(queue="mail").delay_many((n,) for n in range(3))
    assert {h.queue for h in handles} == {"mail"}


#: What no two rows have in common.
OWN = {"id", "root", "args", "submitted", "previous"}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"queue": "mail", "priority": 7, "result_ttl": 60.0},
        {"retries": 3, "timeout": 5, "on_lost": "fail", "atomic": False},
        {"expires": timedelta(hours=1)},
        {"run_after": timedelta(hours=1)},
        {"run_after": datetime(2020, 1, 1, tzinfo=UTC)},
    ],
)
def test_each_of_many_has_the_row_that_a_call_by_itself_has(
    options: dict[str, Any],
) -> None:
    alone = bare.using(**options).delay(0)
    bare.using(**options).delay_many([(n,) for n in range(10)])

    columns = [f.attname for f in Task._meta.concrete_fields if f.name not in OWN]
    moments = {"run_after", "expires"} if options.get("run_after") else {"expires"}
    alike = [name for name in columns if name not in moments]
    first, *rest = Task.objects.order_by("pk").values(*alike)
    assert first["name"] == alone.name
    assert rest == [first] * 10
    for task_ in Task.objects.all():
        assert task_.root_id == task_.pk
        assert all(
            (getattr(task_, name) is None) == (getattr(alone, name) is None)
            for name in moments
        )


def test_those_of_many_that_depend_on_others_wait_for_them() -> None:
    before = bare.delay(1)
    plain, after, behind = sample_tasks.merge.delay_many([([2],), ([before],), ([3],)])

    assert [plain.status, after.status, behind.status] == [
        Status.QUEUED,
        Status.PENDING,
        Status.QUEUED,
    ]
    assert Edge.objects.get().depends_on_id == before.pk


def test_unique_ones_among_many_share_a_row_and_none_is_passed_over() -> None:
    live = once.delay(1)
    handles = once.delay_many([(1,), (1,), (2,), (2,), (3,)])
    assert handles[0] == handles[1] == live
    assert handles[2] == handles[3] != live
    assert [h.created for h in handles] == [False, False, True, False, True]
    assert sorted(t.args for t in Task.objects.all()) == [(1,), (2,), (3,)]


def test_a_handle_looked_at_in_a_later_transaction_can_be_waited_for(
    settings: Any,
) -> None:
    settings.CQ_RUN_INLINE = True
    handles = bare.delay_many([(1,)])
    with transaction.atomic():
        assert handles[0].get(5) == 3


def test_many_run_after_the_commit(settings: Any) -> None:
    settings.CQ_RUN_INLINE = True
    with transaction.atomic():
        handles = bare.delay_many([(1,), (2,)])
        assert {h.status for h in Task.objects.all()} == {Status.QUEUED}
    assert [h.wait(5).result for h in handles] == [3, 4]


# --- from coroutines ------------------------------------------------------------------


@pytest.mark.usefixtures("closing")
async def test_row_15_a_coroutine_enqueues_and_waits(settings: Any) -> None:
    settings.CQ_RUN_INLINE = True
    handle = await bare.adelay(1)
    assert await handle.aget(5) == 3
    assert (await handle.await_(5)) is handle
    assert handle.status == Status.COMPLETE
    assert (await (await bare.s(2).adelay()).await_(5)).result == 4
    assert await (await group([bare.s(1), bare.s(2)]).adelay()).aget(5) == [3, 4]
    assert await (await chain(bare.s(1), bare.s()).adelay()).aget(5) == 5
    many = await bare.adelay_many([(1,), (2,)])
    assert [await h.aget(5) for h in many] == [3, 4]


@pytest.mark.usefixtures("closing")
async def test_aget_raises_what_failed(settings: Any) -> None:
    settings.CQ_RUN_INLINE = True
    handle = await sample_tasks.fails.adelay("no")
    with pytest.raises(TaskFailed, match="no") as caught:
        await handle.aget(5)
    assert caught.value.task is handle


@pytest.mark.usefixtures("closing")
async def test_a_coroutine_task_called_where_a_loop_runs_is_awaited() -> None:
    assert await doubles(4) == 8  # type: ignore[misc]


@pytest.mark.usefixtures("closing")
async def test_the_async_twins_of_a_handle(settings: Any) -> None:
    settings.CQ_RUN_INLINE = True
    first = await bare.adelay(1)
    assert await (await first.achain(bare)).aget(5) == 5
    assert (await first.aerrorback(bare, 1)).status == Status.PENDING
    assert await first.arevoke() is False
    await first.alog("hello")
    assert await first.aformat_logs() == "hello"
    assert (await (await first.aretry()).await_(5)).attempts == 2


@pytest.mark.usefixtures("closing")
async def test_row_15_delay_on_the_loop_says_what_to_write() -> None:
    with pytest.raises(RuntimeError, match=r"await f\.adelay"):
        bare.delay(1)
    with pytest.raises(RuntimeError, match=r"await f\.adelay"):
        bare.s(1).delay()
    with pytest.raises(RuntimeError, match=r"await f\.adelay"):
        bare.delay_many([(1,)])


def test_row_15_threads_enqueue_and_run_their_own(settings: Any) -> None:
    settings.CQ_RUN_INLINE = True
    handles: list[Task] = []

    def enqueue() -> None:
        handles.append(bare.delay(1).wait(10))
        connection.close()

    threads = [threading.Thread(target=enqueue) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [h.result for h in handles] == [3, 3, 3]


# --- a model like others --------------------------------------------------------------


def test_rows_behave_as_a_models_do(settings: Any) -> None:
    settings.CQ_RUN_INLINE = True
    parent = sample_tasks.send_emails.delay(["a", "b"]).wait(5)
    child = parent.subtasks.first()
    assert child is not None
    assert (child.parent, child.root) == (parent, parent)
    assert Task.objects.filter(status=Task.STATUS_COMPLETE).count() == 3
    assert not Task.objects.filter(status=Task.STATUS_WAITING).exists()
    assert parent.subtasks.filter(name="sample_tasks.send_email").count() == 2
    after = child.chain(sample_tasks.calc_a, (1,)) if not parent.done else None
    assert after is None
    second = bare.delay(1)
    assert Task.objects.get(pk=second.chain(bare).pk).previous == second
    assert str(second) == f"{bare.name} {second.pk}"
    assert Task.STATUS_SUCCESS == Task.STATUS_COMPLETE == "COMPLETE"


def test_a_group_leaves_no_trace_of_a_refused_member() -> None:
    with pytest.raises(TypeError):
        group([bare.s(1), bare.s()]).delay()
    with pytest.raises(ValueError, match="at least one"):
        chain()
    with pytest.raises(TypeError, match="is no task"):
        group([len])
    assert not Task.objects.exists()
    assert not Group.objects.exists()
