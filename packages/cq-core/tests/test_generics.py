"""What type checkers alone see costs nothing while the program runs.

What they make of it is tested by `hatch run types:check`.
"""

from __future__ import annotations

import ast
import inspect
import pickle
import typing
from collections.abc import Coroutine
from typing import Any

import pytest
from django.core.management import call_command
from django.db.models import Model

from cq import TaskFunction, task
from cq.definitions.option_types import CallOptions, TaskOptions
from cq.definitions.options import CODE, NAMES
from cq.models import Task, columns


@task("generics.count")
def count(cqt: Task, address: str) -> int:
    return len(address)


def of_a_handle(handle: Task[int]) -> Task[int]:
    return handle


def test_a_task_of_a_known_result_is_the_class_itself() -> None:
    assert Task[int] is Task
    assert Task[list[int]].objects is Task.objects
    assert typing.get_type_hints(of_a_handle) == {"handle": Task, "return": Task}


def test_a_task_has_no_base_for_the_sake_of_types() -> None:
    assert typing.Generic not in Task.__mro__
    assert [base.__name__ for base in Task.__mro__] == [
        *("Task", "TaskVerbs", "DurableVerbs", "Asks", "BeginsAnew", "TakesBack"),
        *("RunFacts", "BacksOff", "Handle"),
        "TaskRow",
        "EncodedRow",
        *(base.__name__ for base in Model.__mro__),
    ]


@pytest.mark.django_db
def test_a_handle_is_told_and_pickled_as_a_task(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    handle = count.delay("a@b.org")
    assert isinstance(handle, Task[int])
    again = pickle.loads(pickle.dumps(handle))
    assert type(again) is Task
    assert again == handle


@pytest.mark.django_db
def test_types_make_no_migration() -> None:
    call_command("makemigrations", "cq", check=True, dry_run=True)


def test_a_task_function_takes_types_at_runtime() -> None:
    assert TaskFunction[[str], int] is TaskFunction
    assert TaskFunction[[str], int, Coroutine[Any, Any, int]] is TaskFunction


def test_type_checkers_know_the_options_that_there_are() -> None:
    # A new option belongs into `option_types.py` as well.
    assert set(TaskOptions.__annotations__) == NAMES
    assert set(CallOptions.__annotations__) == NAMES - CODE


def test_type_checkers_know_the_columns_that_there_are() -> None:
    # A new column belongs into `models/columns.py` as well.
    tree = ast.parse(inspect.getsource(columns))
    typed = {
        ast.unparse(node.target): "None" in ast.unparse(node.annotation)
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign)
    }
    fields = {f.attname: f.null for f in Task._meta.concrete_fields}
    del fields["result"]  # what the task function returns
    assert typed == fields | {"pk": False}
