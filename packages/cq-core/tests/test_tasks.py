"""``@task`` and what it makes of a function."""

from __future__ import annotations

import asyncio
import copy
import functools
import importlib
import pickle
import re
import sys
import threading
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
import sample_tasks
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from cq import CodecError, TaskFailed, UnknownTask, chain, group, task
from cq.definitions import registry
from cq.definitions.options import Options
from cq.enqueue import plan
from cq.ids import uuid7
from cq.models import Edge, Task
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

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


@task
def takes_self(cqt: Any, self: int) -> int:
    return self


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


def test_a_call_is_shown_as_it_is_written() -> None:
    one, two = bare.s(1, b=3), bare.si("x" * 500)
    assert repr(one) == f"{bare.name}.s(1, b=3)"
    assert repr(two).startswith(f"{bare.name}.si('xxx")
    assert len(repr(two)) < 200
    assert repr(group(one, one)) == f"group({one!r}, {one!r})"
    assert repr(one | two) == f"chain({one!r}, {two!r})"


def test_a_task_is_pickled_by_its_name_as_a_function_is() -> None:
    assert pickle.loads(pickle.dumps(bare)) is bare
    assert copy.deepcopy([bare]) == [bare]


class _Callable:
    def __call__(self, cqt: Any) -> None: ...


async def _coroutine(cqt: Any) -> None: ...


@pytest.mark.parametrize(
    "what",
    [functools.partial(print, 1), _Callable(), async_to_sync(_coroutine)],
    ids=["partial", "callable", "async_to_sync"],
)
def test_what_has_no_name_is_refused_in_words(what: Any) -> None:
    for decorate in (task, task(name="named all the same")):
        with pytest.raises(TypeError, match="which has no name to be found by; write"):
            decorate(what)


@pytest.mark.django_db
def test_an_argument_may_be_named_self() -> None:
    async def from_a_coroutine() -> Task:
        return await takes_self.adelay(self=1)

    made = [
        takes_self.delay(self=1),
        async_to_sync(from_a_coroutine)(),
        takes_self.s(self=1).delay(),
        takes_self.si(self=1).delay(),
    ]
    assert [t.kwargs for t in made] == 4 * [{"self": 1}]
    assert takes_self(self=1) == 1


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


def test_one_argument_too_many_may_be_the_run() -> None:
    @task(name="tests.forgets_its_run")
    def forgets_its_run(name: Any) -> None: ...

    @task(name="tests.takes_one")
    def takes_one(cqt: Any, b: Any) -> None: ...

    with pytest.raises(TypeError, match="its first parameter, name, is the run, which"):
        forgets_its_run.delay("you")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"missing a required argument: 'b'$"):
        takes_one.delay()  # type: ignore[call-arg]


def test_a_name_that_is_taken_is_refused_with_both_places() -> None:
    with pytest.raises(
        ValueError, match=r"taken by .*by_position \(.*; give .*another"
    ):

        @task("named by position")
        def another(cqt: Any) -> None: ...


def _forgets_wraps(function: Any) -> Any:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def _remembers_wraps(function: Any) -> Any:
    return functools.wraps(function)(_forgets_wraps(function))


def _made_by_a_factory(number: int) -> Any:
    def report(cqt: Any) -> int:
        return number

    return report


def _charge(cqt: Any) -> str:
    return "charged"


def _refund(cqt: Any) -> str:
    return "refunded"


class _Shop:
    def report(self, cqt: Any) -> None: ...


def _redefined() -> tuple[Any, Any]:
    def nightly(cqt: Any) -> int:
        return 1

    first = nightly

    def nightly(cqt: Any) -> int:  # type: ignore[no-redef]
        return 2

    return first, nightly


TWO_OF_ONE_NAME: dict[str, Callable[[], tuple[Any, Any]]] = {
    "a decorator without wraps": lambda: (
        _forgets_wraps(_charge),
        _forgets_wraps(_refund),
    ),
    "a factory": lambda: (_made_by_a_factory(1), _made_by_a_factory(2)),
    "a method of two instances": lambda: (_Shop().report, _Shop().report),
    "the same name further down": _redefined,
    "two wrappers of one function": lambda: (
        _remembers_wraps(_charge),
        _remembers_wraps(_charge),
    ),
    "lambdas of one line": lambda: (lambda cqt: 1, lambda cqt: 2),
}


@pytest.mark.parametrize("what", list(TWO_OF_ONE_NAME))
@pytest.mark.parametrize("named", [False, True])
def test_two_tasks_of_one_name_are_refused(what: str, named: bool) -> None:
    first, second = TWO_OF_ONE_NAME[what]()
    name = f"both are {what}" if named else None
    known = task(name=name)(first)
    with pytest.raises(ValueError, match="is taken by") as raised:
        task(name=name)(second)
    told = str(raised.value)
    assert len(re.findall(r"test_tasks\.py:\d+\)", told)) == 2
    assert "name=" in told
    assert registry.get(known.name).function is first


def test_they_may_each_have_a_name() -> None:
    made = [task(name=f"report {n}")(_made_by_a_factory(n)) for n in (1, 2)]
    assert [registry.get(t.name).function(None) for t in made] == [1, 2]


def test_the_same_function_may_be_defined_again() -> None:
    task(name="twice")(_charge)
    task(name="twice")(_charge)
    shop = _Shop()
    task(name="a method, twice")(shop.report)
    task(name="a method, twice")(shop.report)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module of tasks on the disk, and what it is to hold."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(*lines: str) -> None:
        head = "import functools\nfrom cq import task\n"
        (tmp_path / "loaded_again.py").write_text(head + "\n".join(lines))
        importlib.invalidate_caches()

    yield write
    sys.modules.pop("loaded_again", None)


ONE_TASK = ("@task", "def nightly(cqt):", "    return 1")
WRAPPED = (
    "def log_it(f):",
    "    @functools.wraps(f)",
    "    def wrapper(*a, **k): return f(*a, **k)",
    "    return wrapper",
    "@task",
    "@log_it",
    "def nightly(cqt):",
    "    return 1",
)


@pytest.mark.parametrize("lines", [ONE_TASK, WRAPPED], ids=["plain", "decorated"])
@pytest.mark.parametrize("edited", [False, True])
def test_a_module_may_be_loaded_again(
    module: Any, lines: tuple[str, ...], edited: bool
) -> None:
    module(*lines)
    loaded = importlib.import_module("loaded_again")
    first = loaded.nightly
    if edited:
        module("", "", *lines[:-1], "    return 1 + 1")
    importlib.reload(loaded)
    assert registry.get("loaded_again.nightly").function is loaded.nightly.__wrapped__
    assert loaded.nightly is not first
    # And under the same name, from nothing.
    del sys.modules["loaded_again"]
    loaded = importlib.import_module("loaded_again")
    assert registry.get("loaded_again.nightly").function is loaded.nightly.__wrapped__


def test_a_reload_does_not_hide_two_of_one_name(module: Any) -> None:
    module(*ONE_TASK)
    loaded = importlib.import_module("loaded_again")
    module(*ONE_TASK, *ONE_TASK)
    with pytest.raises(ValueError, match=r"loaded_again\.py:3\).*loaded_again\.py:6\)"):
        importlib.reload(loaded)


def test_what_is_typed_at_a_prompt_may_be_typed_again() -> None:
    console: dict[str, Any] = {"__name__": "__main__", "task": task}
    for result in (1, 2):
        exec(f"@task\ndef typed(cqt): return {result}\n", console)
    assert registry.get("__main__.typed").function(None) == 2


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
        {"timeout": timedelta()},
        {"timeout": timedelta(seconds=-1)},
        {"timeout": timedelta.max},
        {
            "run_after": datetime(
                9999, 12, 31, 23, 59, tzinfo=timezone(-timedelta(hours=5))
            )
        },
        {"expires": datetime.max.replace(tzinfo=UTC)},
        {"expires": datetime.min.replace(tzinfo=UTC)},
        {"retries": -1},
        {"backoff": -1},
        {"backoff": float("nan")},
        {"backoff": []},
        {"backoff": [10, -1]},
        {"backoff": [10, "20"]},
        {"backoff": "10"},
        {"result_ttl": -1},
        {"result_ttl": float("nan")},
        {"result_ttl": 1e300},
        {"result_ttl": "a week"},
        {"result_ttl": True},
        {"unique": ""},
        {"unique": "a\x00"},
        {"unique": "\ud800"},
        {"queue": "a\x00"},
        {"queue": "\udfff"},
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
    "option",
    [
        {"retry_on": (ValueError,)},
        {"backoff": lambda attempt: 1.0},
        {"schedulable": False},
        {"redact": ("card",)},
    ],
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


def test_what_was_called_already_is_refused_in_words() -> None:
    handle = bare.delay(1)
    words = f"{handle!r} is no task to be called; give .* not what .delay"
    for signature in (group, chain):
        for given in ([handle], [[handle]], [bare.s(1), handle]):
            with pytest.raises(TypeError, match=words):
                signature(*given)
    with pytest.raises(TypeError, match="7 is no task to be called"):
        group(7)
