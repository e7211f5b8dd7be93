"""Tags: who has them, who takes them from whom, and what they cost those without."""

from __future__ import annotations

from typing import Any

import pytest
import sample_tasks
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from driving import claim, fresh, run, run_all
from forced import NOW, forced
from plans import analyze, plan, reads_all

from cq import RetryLater, chain, group, task
from cq.definitions.tags import LONGEST_TAG, MOST_TAGS
from cq.execution import sync_runner
from cq.maintenance import prune
from cq.models import Tag, Task
from cq.status import Status

pytestmark = pytest.mark.django_db(transaction=True)

DB = "default"
ORDER = "order:4711"

script: list[Any] = []


@pytest.fixture(autouse=True)
def _only_record(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    script.clear()
    prune._come_to.clear()


@task("tags.plain")
def plain(cqt: Any, *given: Any) -> Any: ...


@task("tags.by_order", tags=lambda order, *rest: [f"order:{order}"] if order else None)
def by_order(cqt: Any, order: int, *rest: Any) -> Any: ...


def by_letter(text: Any, *rest: Any) -> list[str]:
    return [f"letter:{text[0]}"]


@task("tags.by_letters", tags=by_letter)
def by_letters(cqt: Any, text: Any, *rest: Any) -> Any: ...


@task("tags.scripted")
def scripted(cqt: Any) -> Any:
    return script.pop(0)(cqt)


@task("tags.loose", atomic=False)
def loose(cqt: Any) -> Any:
    return script.pop(0)(cqt)


def tagged(tag: str) -> set[Any]:
    return set(Task.objects.filter(tag_rows__tag=tag).values_list("pk", flat=True))


def of_table(handle: Any) -> set[str]:
    return set(Tag.objects.filter(task=handle.pk).values_list("tag", flat=True))


def statements(call: Any) -> list[str]:
    connection.ensure_connection()
    with CaptureQueriesContext(connection) as queries:
        call()
    return [query["sql"] for query in queries.captured_queries]


# --- given ----------------------------------------------------------------------------


def test_tags_are_given_at_the_definition_and_at_the_call() -> None:
    @task("tags.billing", tags=["billing", "eu"])
    def billing(cqt: Any) -> None: ...

    own, called = billing.delay(), billing.using(tags=[ORDER, ORDER]).delay()

    assert own.tags == fresh(own).tags == ("billing", "eu")
    assert called.tags == fresh(called).tags == (ORDER,)
    assert of_table(own) == {"billing", "eu"}
    assert of_table(called) == {ORDER}
    assert tagged(ORDER) == {called.pk}
    assert plain.delay().tags == ()


def test_a_function_makes_tags_of_the_arguments() -> None:
    assert by_order.delay(4711).tags == (ORDER,)
    assert by_order.delay(0).tags == ()
    called = plain.using(tags=lambda *given: [f"n:{n}" for n in given]).delay(1, 2)
    assert of_table(called) == set(called.tags) == {"n:1", "n:2"}


def test_of_a_result_that_is_not_there_yet_a_function_makes_none() -> None:
    first = plain.delay()
    by_handle = by_order.using(tags=by_letter).delay(first)
    within = by_letters.delay([first])
    in_chain = chain(plain.s(), by_letters.s(), plain.using(tags=["list"]).s()).delay()
    many = by_letters.delay_many([(first,), ("ab",), ([first],)])

    assert by_handle.tags == within.tags == ()
    assert [one.tags for one in many] == [(), ("letter:a",), ()]
    steps = sorted(one.tags for one in in_chain.subtasks.all())
    assert steps == [(), (), ("list",)]
    assert {row.tag for row in Tag.objects.all()} == {"letter:a", "list"}


def test_with_such_a_result_it_has_those_of_its_parent() -> None:
    def make(cqt: Any) -> None:
        cqt.subtask(by_letters, cqt.subtask(plain))
        cqt.subtask(chain(plain.s(), by_letters.s()))

    script.append(make)
    root = run(scripted.using(tags=[ORDER]).delay())
    tree = Task.objects.filter(root=root.pk)
    assert [one.tags for one in tree] == [(ORDER,)] * 6


def test_each_of_many_has_its_own() -> None:
    many = by_order.delay_many([(0,), (1,), (2,)])
    assert [one.tags for one in many] == [(), ("order:1",), ("order:2",)]
    assert Tag.objects.count() == 2

    same = plain.using(tags=["nightly"]).delay_many([(n,) for n in range(3)])
    assert tagged("nightly") == {one.pk for one in same}


def test_letters_are_told_apart_on_any_database() -> None:
    both = ["order:a", "order:A", "order:a "]
    made = plain.using(tags=both).delay()
    assert of_table(made) == set(both)
    assert tagged("ORDER:A") == set()


WRONG: list[Any] = [
    "order:4711",
    [""],
    ["a" * (LONGEST_TAG + 1)],
    [str(number) for number in range(MOST_TAGS + 1)],
    ["a\x00"],
    ["\ud800"],
    [4711],
    {"a"},
    7,
]


@pytest.mark.parametrize("tags", WRONG, ids=ascii)
def test_what_is_no_tag_is_refused_with_a_remedy(tags: Any) -> None:
    message = r'tags is .*must be a list of at most 10 texts.*\["order:4711"\]'
    with pytest.raises(ValueError, match=message):
        task("tags.refused", tags=tags)
    with pytest.raises(ValueError, match=message):
        plain.using(tags=tags)
    made = plain.using(tags=lambda: tags)
    with pytest.raises(ValueError, match=f"tags.plain: {message}"):
        made.delay()
    with pytest.raises(ValueError, match=f"tags.plain: {message}"):
        group(plain.s(), made.s()).delay()
    assert not Task.objects.exists()


def test_as_many_and_as_long_as_they_may_be() -> None:
    tags = [f"{number}" * LONGEST_TAG for number in range(MOST_TAGS)]
    assert set(plain.using(tags=tags).delay().tags) == set(tags)


def test_with_an_undone_transaction_they_are_undone() -> None:
    with transaction.atomic():
        plain.using(tags=[ORDER]).delay()
        transaction.set_rollback(True)
    assert not Tag.objects.exists()


def test_a_call_that_stands_for_a_live_one_writes_none() -> None:
    unique = plain.using(unique="only one")
    live = unique.delay()
    again = unique.using(tags=[ORDER]).delay()
    assert not again.created
    assert again.pk == live.pk
    assert not Tag.objects.exists()


def test_what_somebody_has_written_into_the_row_is_no_tag() -> None:
    made = plain.delay()
    for forged in ("x", ["a", 1], {"a": 1}, ["a" * 1000], None):
        Task.objects.filter(pk=made.pk).update(options={"tags": forged})
        assert fresh(made).tags == ()


# --- taken from the parent ------------------------------------------------------------


@pytest.mark.parametrize("parent", [scripted, loose], ids=["atomic", "not atomic"])
def test_whatever_is_below_has_the_tags_of_its_parent(parent: Any) -> None:
    def make(cqt: Any) -> None:
        assert cqt.tags == (ORDER,)
        one = cqt.subtask(plain)
        one.chain(plain)
        one.errorback(plain)
        cqt.subtask(plain.using(tags=["own", ORDER]))
        cqt.subtask(group(plain.s(), chain(plain.s(), plain.s())))
        by_order.delay(4712)

    script.append(make)
    root = run(parent.using(tags=[ORDER]).delay())

    tree = set(Task.objects.filter(root=root.pk).values_list("pk", flat=True))
    assert len(tree) == 10
    assert tagged(ORDER) == tree
    for one in Task.objects.all():
        assert of_table(one) == set(one.tags)
    assert [one.tags for one in Task.objects.exclude(root=root.pk)] == [("order:4712",)]
    assert {one.tags for one in root.subtasks.all()} == {(ORDER,), (ORDER, "own")}


def test_what_comes_behind_has_no_tags_of_what_it_follows() -> None:
    first = plain.using(tags=[ORDER]).delay()
    assert first.chain(plain).tags == ()
    whole = chain(plain.using(tags=[ORDER]).s(), plain.s()).delay()
    assert whole.tags == ()
    assert sorted(one.tags for one in whole.subtasks.all()) == [(), (ORDER,)]


def test_an_adopted_tree_takes_them_too() -> None:
    def give(cqt: Any) -> Any:
        return group(plain.s(1), plain.using(tags=["own"]).s(2)).delay()

    script.append(give)
    root = run(scripted.using(tags=[ORDER]).delay())

    assert tagged(ORDER) == set(Task.objects.values_list("pk", flat=True))
    assert Task.objects.filter(root=root.pk).count() == 4
    [adopted] = root.subtasks.all()
    assert sorted(one.tags for one in adopted.subtasks.all()) == [
        (ORDER,),
        (ORDER, "own"),
    ]
    run_all()
    assert fresh(root).status == Status.COMPLETE


def test_what_is_adopted_is_locked_by_its_ids_alone() -> None:
    whole = group(plain.s(1), plain.s(2)).delay()
    script.append(lambda cqt: whole)
    root = claim(scripted.using(tags=[ORDER]).delay())

    said = statements(lambda: sync_runner.execute(root))

    of_options = [
        sql for sql in said if sql.startswith("SELECT") and "options" in sql[:200]
    ]
    locking = [sql for sql in of_options if " OR " in sql or "root_id" in sql]
    assert not locking
    assert len(of_options) == 1
    if connection.vendor == "mysql":
        assert "FORCE INDEX (PRIMARY)" in of_options[0]
    assert tagged(ORDER) == set(Task.objects.values_list("pk", flat=True))


def test_what_runs_as_it_is_adopted_has_them_after_retry_later() -> None:
    @task("tags.polls")
    def polls(cqt: Any) -> None:
        cqt.subtask(plain)
        raise RetryLater(0)

    kept = {"a": None, "b": {"c": None, "d": [1.5, "\u20ac"]}}
    one, other = polls.using(tags=["own"]).delay(), polls.delay()
    Task.objects.filter(pk=one.pk).update(options={"tags": ["own"], "context": kept})
    running = [claim(fresh(one)), claim(fresh(other))]
    script.append(lambda cqt: one)
    run(scripted.using(tags=[ORDER]).delay())
    assert fresh(one).tags == (ORDER, "own")
    for claimed in running:
        sync_runner.execute(claimed)

    assert fresh(one).status == fresh(other).status == Status.RETRY
    assert fresh(one).tags == (ORDER, "own")
    assert fresh(one).options["context"] == kept
    assert fresh(other).options == {"later": [1, 1]}
    [row] = Tag.objects.filter(tag=ORDER, task=one.pk)
    assert row.task_id == one.pk


def test_what_runs_as_it_is_adopted_gives_its_subtasks_none_in_that_run() -> None:
    one = loose.using(tags=["own"]).delay()
    running = claim(one)
    script.append(lambda cqt: one)
    root = run(scripted.using(tags=[ORDER]).delay())
    script.append(lambda cqt: cqt.subtask(plain))
    sync_runner.execute(running)

    assert fresh(one).parent_id == root.pk
    [made] = one.subtasks.all()
    assert made.tags == ("own",)


def test_more_than_there_may_be_together_are_refused() -> None:
    def make(cqt: Any) -> None:
        cqt.subtask(plain.using(tags=["own"]))

    script.append(make)
    ten = [str(number) for number in range(MOST_TAGS)]
    root = run(scripted.using(tags=ten).delay())

    assert root.status == Status.FAILURE
    assert "10 tags from its parent" in root.error
    assert Task.objects.count() == 1


def test_of_a_block_that_is_undone_none_stay() -> None:
    def make(cqt: Any) -> None:
        with transaction.atomic():
            cqt.subtask(plain.using(tags=["undone"]))
            transaction.set_rollback(True)
        cqt.subtask(plain.using(tags=["done"]))

    script.append(make)
    run(scripted.delay())
    assert [row.tag for row in Tag.objects.all()] == ["done"]


def test_a_retry_keeps_them() -> None:
    def fail(cqt: Any) -> None:
        raise ValueError

    script.append(fail)
    failed = run(scripted.using(tags=[ORDER]).delay())
    failed.retry()
    assert fresh(failed).tags == (ORDER,)
    assert of_table(failed) == {ORDER}


def test_the_serial_double_has_the_same() -> None:
    def make(cqt: Any) -> list[tuple[str, ...]]:
        one = cqt.subtask(by_order, 4711)
        whole = cqt.subtask(group(plain.s(), plain.using(tags=["own"]).s()))
        return [
            cqt.tags,
            one.tags,
            one.chain(plain).tags,
            whole.tags,
            *sorted(member.tags for member in whole.subtasks.all()),
        ]

    @task("tags.serial", tags=["top"])
    def serial(cqt: Any) -> Any:
        return make(cqt)

    assert serial() == [
        ("top",),
        ("top", ORDER),
        ("top",),
        ("top",),
        ("top",),
        ("top", "own"),
    ]
    assert not Tag.objects.exists()


def test_the_serial_double_makes_none_of_a_result_that_is_not_there_yet() -> None:
    @task("tags.serial_results", tags=["top"])
    def serial(cqt: Any) -> Any:
        first = cqt.subtask(plain)
        whole = cqt.subtask(chain(plain.s(), by_letters.s()))
        made = [cqt.subtask(by_letters, first), cqt.subtask(by_letters, "a")]
        return [
            *(one.tags for one in made),
            *(one.tags for one in whole.subtasks.all()),
        ]

    assert serial() == [("top",), ("top", "letter:a"), ("top",), ("top",)]


# --- what it costs --------------------------------------------------------------------


def test_a_task_without_tags_costs_no_statement_for_them() -> None:
    plain.delay(0)

    def make(cqt: Any) -> None:
        for number in range(20):
            cqt.subtask(plain, number)

    script.append(make)
    claimed = claim(scripted.delay())
    said = statements(lambda: plain.delay(1))
    said += statements(lambda: group(plain.s(), plain.s()).delay())
    said += statements(lambda: plain.delay_many([(n,) for n in range(100)]))
    said += statements(lambda: sync_runner.execute(claimed))

    assert not [sql for sql in said if "cq_tags" in sql]


def test_the_tagged_subtasks_of_a_loop_are_two_inserts() -> None:
    def make(cqt: Any) -> None:
        for number in range(100):
            cqt.subtask(plain, number)

    script.append(make)
    claimed = claim(scripted.using(tags=[ORDER]).delay())
    said = statements(lambda: sync_runner.execute(claimed))

    assert len([sql for sql in said if "cq_tags" in sql]) == 1
    assert len([sql for sql in said if sql.startswith("INSERT INTO cq_tasks")]) == 1
    assert len(tagged(ORDER)) == 101


def test_they_go_with_their_tree() -> None:
    for number in range(3):
        root = forced(Status.COMPLETE, result_ttl=0)
        child = forced(Status.COMPLETE, root)
        for pk in (root.pk, child.pk):
            Tag.objects.create(tag=f"order:{number}", task_id=pk)
    kept = plain.using(tags=[ORDER]).delay()

    assert prune.prune(DB, NOW) == 6
    assert [row.task_id for row in Tag.objects.all()] == [kept.pk]
    kept.delete()
    assert not Tag.objects.exists()


def test_where_nothing_has_tags_none_are_deleted() -> None:
    for _ in range(3):
        forced(Status.COMPLETE, forced(Status.COMPLETE, result_ttl=0))

    said = statements(lambda: prune.prune(DB, NOW))

    assert not [sql for sql in said if "DELETE" in sql and "cq_tags" in sql]


def test_the_tasks_of_a_tag_are_one_range_of_an_index() -> None:
    sample_tasks.square.delay_many([(n,) for n in range(3000)])
    plain.using(tags=["other"]).delay_many([(n,) for n in range(3000)])
    # So many that it would take longer to sort them than to read the newest in order.
    plain.using(tags=[ORDER]).delay_many([(n,) for n in range(3000)])
    analyze("cq_tasks", "cq_tags")
    rows = Task.objects.filter(tag_rows__tag=ORDER).order_by("-tag_rows__task_id")
    sql, params = rows.values("pk")[:20].query.sql_with_params()

    found = plan(sql, params)

    assert not reads_all(found), found
    assert "sort" not in found.lower(), found
