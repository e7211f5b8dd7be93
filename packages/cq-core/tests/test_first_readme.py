"""What the first README shows, with cq-core alone."""

from __future__ import annotations

from typing import Any

import pytest
import sample_tasks as tasks

from cq import CodecError, TaskFailed, chain, group
from cq.models import Task

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def inline(settings: Any) -> None:
    # As with cq-core alone, also where the whole is installed.
    settings.CQ_RUN_INLINE = True


def test_a_task_is_recorded_and_gives_its_result() -> None:
    task = tasks.send_email.delay("dummy@dummy.org")
    task.wait(10)
    assert task.result == "OK"
    assert Task.objects.get(pk=task.pk).status == Task.STATUS_COMPLETE


def test_the_serial_call_returns_its_result_and_leaves_no_row() -> None:
    assert tasks.send_email("dummy@dummy.org") == "OK"
    assert not Task.objects.exists()


def test_a_parent_keeps_its_own_result() -> None:
    task = tasks.send_emails.delay(["a", "b"]).wait(10)
    assert (task.status, task.result) == (Task.STATUS_COMPLETE, "SENT")
    assert [t.result for t in task.subtasks.all()] == ["OK", "OK"]
    assert {t.root_id for t in task.subtasks.all()} == {task.pk}


def test_a_returned_chain_gives_the_result() -> None:
    task = tasks.calculate_something.delay().wait(10)
    assert (task.status, task.result) == (Task.STATUS_COMPLETE, 7)
    assert tasks.calculate_something() == 7


def test_a_chained_task_that_takes_no_more_finds_the_result_in_previous() -> None:
    assert tasks.calc_a.delay(5).chain(tasks.previous_result).get(10) == 10


def test_handles_among_the_arguments_become_results_in_order() -> None:
    assert tasks.merge_squares.delay(4).get(10) == [0, 1, 4, 9]
    assert tasks.merge_squares(4) == [0, 1, 4, 9]


def test_groups_and_chains_have_one_root() -> None:
    assert group([tasks.calc_a.s(1), tasks.calc_a.s(2)]).delay().get(10) == [1, 2]
    assert group([]).delay().get(10) == []
    assert chain(tasks.calc_a.s(1), tasks.add_a_to_4.s(2)).delay().get(10) == 3
    both = chain(group([tasks.calc_a.s(1), tasks.calc_a.s(2)]), tasks.merge.s())
    assert both.delay().get(10) == [1, 2]


def test_a_failure_is_recorded_and_raised_by_get() -> None:
    task = tasks.fails.delay("broken")
    with pytest.raises(TaskFailed, match="broken") as caught:
        task.get(10)
    assert caught.value.task is task
    assert task.exception == "ValueError"
    assert "ValueError: broken" in task.traceback


def test_the_serial_call_raises_the_error_itself() -> None:
    with pytest.raises(ValueError, match="broken"):
        tasks.fails("broken")


def test_what_follows_a_failure_is_incomplete_with_the_reason() -> None:
    after = tasks.fails.delay("broken").chain(tasks.calc_a, (1,)).wait(10)
    assert after.status == Task.STATUS_INCOMPLETE
    assert "broken" in after.error


def test_arguments_that_do_not_fit_are_refused_at_the_call() -> None:
    with pytest.raises(TypeError, match="send_email"):
        tasks.send_email.delay()
    with pytest.raises(CodecError, match=r"args\[0\]"):
        tasks.send_email.delay(object())
    assert not Task.objects.exists()


def test_lines_are_kept_in_order() -> None:
    task = tasks.logs_lines.delay(3).wait(10)
    assert task.format_logs() == "line 0\nline 1\nline 2"


def test_coroutine_tasks_run_both_ways() -> None:
    assert tasks.asquare.delay(5).get(10) == 25
    assert tasks.asquare(5) == 25
