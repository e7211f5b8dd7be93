"""A site whose tables are not made yet, or are of an older release: one sentence says
what to do."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import pytest
import sample_tasks
from asgiref.sync import async_to_sync
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from cq.db.missing_tables import find_missing

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db(transaction=True)

TASKS = "the table cq_tasks is missing; run manage.py migrate"
OLDER = r"^the tables of cq are of an older release \(.+\); run manage\.py migrate$"
ANY = r"^the table cq_\w+ is missing; run manage\.py migrate$"


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


@pytest.fixture
def _no_tables() -> Iterator[None]:
    names = ["cq_tasks", "cq_workers", "cq_repeating_tasks", "cq_slots"]
    _rename({name: f"hidden_{name}" for name in names})
    yield
    _rename({f"hidden_{name}": name for name in names})


@pytest.fixture
def _no_column(request: pytest.FixtureRequest) -> Iterator[None]:
    """The tables as they are when not all of the migrations have run."""
    name = request.param
    _execute(f"ALTER TABLE cq_tasks RENAME COLUMN {name} TO hidden")
    yield
    _execute(f"ALTER TABLE cq_tasks RENAME COLUMN hidden TO {name}")


def without(column: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("_no_column", [column], indirect=True)


def _execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def _rename(names: dict[str, str]) -> None:
    for old, new in names.items():
        _execute(f"ALTER TABLE {old} RENAME TO {new}")


LINES = pytest.mark.parametrize(
    "line",
    [
        "cq",
        "cq status",
        "cq list",
        "cq show 0193f0c2",
        "cq run",
        "cq run --loop",
        "cq audit",
        "cqworker",
        "cqworker --burst --quiet",
        "cqscheduler",
        "cqscheduler list",
    ],
)


@pytest.mark.usefixtures("_no_tables")
@LINES
def test_a_command_says_it_in_one_sentence(line: str) -> None:
    with pytest.raises(CommandError, match=ANY):
        call_command(*line.split(), stdout=io.StringIO())


@pytest.mark.usefixtures("_no_tables")
def test_health_says_it_too() -> None:
    with pytest.raises(CommandError, match=r"missing; run manage\.py migrate$"):
        call_command("cq", "health", stdout=io.StringIO())


ENQUEUES = pytest.mark.parametrize(
    "enqueue",
    [
        lambda: sample_tasks.square.delay(2),
        lambda: sample_tasks.square.using(unique="one").delay(2),
        lambda: sample_tasks.square.delay_many([(2,), (3,)]),
        lambda: (sample_tasks.square.s(2) | sample_tasks.square.s()).delay(),
        lambda: async_to_sync(sample_tasks.square.adelay)(2),
    ],
    ids=["one", "unique", "many", "chain", "async"],
)


@pytest.mark.usefixtures("_no_tables")
@ENQUEUES
def test_the_error_of_delay_has_a_note(enqueue: Any) -> None:
    with pytest.raises(DatabaseError) as caught:
        enqueue()
    assert caught.value.__notes__ == [TASKS]


@pytest.mark.usefixtures("_no_tables")
def test_another_database_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cq.db.missing_tables.DEFAULT_DB_ALIAS", "another")
    assert find_missing("default", "cq_tasks") == f"{TASKS} --database default"


@pytest.mark.usefixtures("_no_tables")
def test_a_look_leaves_a_transaction_as_it_is() -> None:
    with transaction.atomic():
        assert find_missing("default", "cq_tasks") == TASKS
        assert find_missing("default", "cq_edges") is None
        assert connection.is_usable()


@without("first_started")
@pytest.mark.usefixtures("_no_column")
@pytest.mark.parametrize(
    "line", ["cqworker", "cqworker --burst", "cq list", "cq run", "cq run --loop"]
)
def test_a_command_says_that_the_tables_are_of_an_older_release(line: str) -> None:
    with pytest.raises(CommandError, match=OLDER) as caught:
        call_command(*line.split(), stdout=io.StringIO())
    assert "first_started" in str(caught.value)


@without("queue")
@pytest.mark.usefixtures("_no_column")
@pytest.mark.parametrize("line", ["cq", "cq status"])
def test_so_do_those_that_look_at_what_is_queued(line: str) -> None:
    with pytest.raises(CommandError, match=OLDER):
        call_command(*line.split(), stdout=io.StringIO())


@without("submitted")
@pytest.mark.usefixtures("_no_column")
@ENQUEUES
def test_the_error_of_delay_says_that_they_are_of_an_older_release(
    enqueue: Any,
) -> None:
    with pytest.raises(DatabaseError) as caught:
        enqueue()
    (note,) = caught.value.__notes__
    assert re.match(OLDER, note)
    assert "submitted" in note


def test_where_nothing_is_missing_nothing_is_said() -> None:
    assert find_missing("default", "cq_tasks", "cq_workers") is None
