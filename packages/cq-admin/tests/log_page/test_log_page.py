"""The page of a task's log: its lines, its filters, its pages, and who sees it."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

import pytest
from asked import questions
from django.contrib import admin
from django.db import connections

from cq.conf import conf
from cq.models import Task, TaskLog
from cq.status import Status
from cq_admin.log_page import reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db


def url(row: Any) -> str:
    return f"/admin/cq/task/{row.pk}/log/"


def page(client: Client, row: Task, status: int = 200, **query: Any) -> str:
    answer = client.get(url(row), query)
    assert answer.status_code == status
    return str(answer.content.decode())


def numbers(client: Client, row: Task, **query: Any) -> list[int]:
    return [int(n) for n in re.findall(r'id="line-(\d+)"', page(client, row, **query))]


def link(text: str, label: str) -> dict[str, str]:
    found = re.search(rf'<a href="\?([^"]*)">{label}</a>', text)
    if found is None:
        return {}
    pairs = found[1].replace("&amp;", "&").split("&")
    return dict(pair.split("=") for pair in pairs if pair)


def text_of(client: Client, row: Task, **query: Any) -> str:
    answer = client.get(url(row), {"format": "txt", **query})
    return b"".join(answer).decode()  # type: ignore[arg-type]


def test_the_last_lines_come_first_and_others_by_their_numbers(
    staff: Client, row: Callable[..., Task], say: Callable[..., None]
) -> None:
    root = row()
    say(root, 450)
    assert numbers(staff, root) == list(range(251, 451))
    text = page(staff, root)
    assert not link(text, "Newer")
    older = link(text, "Older")
    assert older == {"before": "251"}
    assert numbers(staff, root, **older) == list(range(51, 251))
    text = page(staff, root, before=51)
    assert numbers(staff, root, before=51) == list(range(1, 51))
    assert not link(text, "Older")
    newer = link(text, "Newer")
    assert numbers(staff, root, **newer) == list(range(51, 251))
    assert numbers(staff, root, after=440) == list(range(441, 451))
    text = page(staff, root, after=450)
    assert "There is no such line here." in text
    assert numbers(staff, root, **link(text, "Older")) == list(range(251, 451))


def test_a_level_has_its_word_and_a_colour_on_both_pages(
    staff: Client, row: Callable[..., Task], say: Callable[..., None]
) -> None:
    root = row()
    for level in (0, 10, 20, 25, 30, 40, 50, 99):
        say(root, 1, level=level)
    shown = [
        ("debug", "NOTSET"),
        ("debug", "DEBUG"),
        ("info", "INFO"),
        ("info", "Level 25"),
        ("warning", "WARNING"),
        ("error", "ERROR"),
        ("critical", "CRITICAL"),
        ("critical", "Level 99"),
    ]
    for address in ("log", "change"):
        text = staff.get(f"/admin/cq/task/{root.pk}/{address}/").content.decode()
        found = re.findall(r'class="cq-level cq-level-(\w+)">([^<]+)<', text)
        assert found == shown


def test_filters_are_in_the_address(
    staff: Client, row: Callable[..., Task], say: Callable[..., None]
) -> None:
    root = row(name="root")
    child = row(name="child", parent=root, root=root)
    say(root, 2, attempt=1)
    say(root, 1, attempt=2, level=logging.ERROR, message="Card 100% declined")
    say(child, 1, root, level=logging.WARNING, message="late")
    assert numbers(staff, root) == [1, 2, 3, 4]
    assert numbers(staff, root, level="warning") == [3, 4]
    assert numbers(staff, root, level="40") == [3]
    assert numbers(staff, root, of=child.pk) == [4]
    assert numbers(staff, root, of=root.pk, attempt=1) == [1, 2]
    assert numbers(staff, root, q="card 100%") == [3]
    assert numbers(staff, root, q="100_") == []
    assert numbers(staff, child) == [4]
    assert numbers(staff, child, of=root.pk) == []
    other = row()
    say(other, 1)
    assert numbers(staff, root, of=other.pk) == []
    text = page(staff, root, level="warning", q="card")
    assert '<option value="WARNING" selected>' in text
    assert 'value="card"' in text


@pytest.mark.parametrize(
    "query",
    [
        {"after": "x"},
        {"before": "-1"},
        {"before": "\u0663"},
        {"after": "1", "before": "2"},
        {"level": "loud"},
        {"level": "999999"},
        {"of": "nobody"},
        {"attempt": "1.5"},
        {"q": "a\x00b"},
    ],
)
def test_what_is_no_filter_is_said(
    staff: Client, row: Callable[..., Task], query: dict[str, str]
) -> None:
    text = page(staff, row(), 400, **query)
    assert 'role="alert"' in text
    assert staff.get(url(row()), {**query, "format": "txt"}).status_code == 400


def test_numbers_as_large_as_anybody_types_find_nothing(
    staff: Client, row: Callable[..., Task], say: Callable[..., None]
) -> None:
    root = row()
    say(root, 1)
    assert numbers(staff, root, before="9" * 10) == [1]
    assert numbers(staff, root, attempt="9" * 10) == []
    assert numbers(staff, root, level="9" * 5) == []


def test_gaps_say_how_many_lines_went(
    staff: Client, row: Callable[..., Task], say: Callable[..., None]
) -> None:
    root = row()
    say(root, 30)
    TaskLog.objects.filter(number__lte=4).delete()
    TaskLog.objects.filter(number__in=[11, 12, 13]).delete()
    TaskLog.objects.filter(number=20).delete()
    text = page(staff, root)
    assert re.findall(r"(\d+) lines? (?:is|are) gone", text) == ["4", "3", "1"]
    assert "gone" not in page(staff, root, before=11, q="line 1")
    # Also on the page of the task itself.
    task_page = staff.get(f"/admin/cq/task/{root.pk}/change/").content.decode()
    assert "3 lines are gone." in task_page
    assert "[... 3 lines left out ...]" in text_of(staff, root)


def test_colours_are_classes_and_what_cannot_be_seen_is_shown(
    staff: Client, row: Callable[..., Task], say: Callable[..., None]
) -> None:
    root = row()
    said = "\x1b[1;31mbad\x1b[0m <b>x</b>\x1b[2J\u202eabc \x1b[38;5;31mmany\x1b[m"
    say(root, 1, message=said)
    text = page(staff, root)
    assert '<span class="cq-ansi-red cq-ansi-bold">bad</span>' in text
    assert "&lt;b&gt;x&lt;/b&gt;" in text
    assert "\\x1b[2J\\u202eabc" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    # Found as it is seen.
    assert numbers(staff, root, q="abc") == [1]
    plain = text_of(staff, root)
    assert "bad <b>x</b>\\x1b[2J" in plain


def mask(task_name: str, text: str) -> str:
    return text.replace("4111", "####")


def test_what_the_project_hides_is_neither_shown_nor_found(
    staff: Client, row: Callable[..., Task], say: Callable[..., None], settings: Any
) -> None:
    settings.CQ_REDACT_TEXT = f"{__name__}.mask"
    root = row()
    say(root, 1, message="card-4111")
    for text in (page(staff, root), text_of(staff, root)):
        # The digits alone may stand in an id, or in a moment.
        assert "card-4111" not in text
        assert "card-####" in text
    assert numbers(staff, root, q="4111") == []
    assert numbers(staff, root, q="card") == [1]
    assert "card" not in text_of(staff, root, q="4111")


def test_a_search_says_how_far_it_came(
    staff: Client,
    row: Callable[..., Task],
    say: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "WINDOW", 10)
    root = row()
    say(root, 1, message="needle")
    say(root, 49)
    text = page(staff, root, q="needle")
    assert "Looked as far as line 21." in text
    older = link(text, "Older")
    assert older == {"q": "needle", "before": "21"}
    assert numbers(staff, root, **older) == [1]
    text = page(staff, root, q="nowhere", after=0)
    assert "Looked as far as line 30." in text
    assert link(text, "Newer") == {"q": "nowhere", "after": "30"}


def test_all_of_it_is_text(
    staff: Client,
    row: Callable[..., Task],
    say: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "BATCH", 7)
    root = row()
    child = row(name="child", parent=root, root=root)
    say(root, 20)
    say(child, 1, root, message="x" * 5_000)
    answer = staff.get(url(root), {"format": "txt"})
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer["X-Content-Type-Options"] == "nosniff"
    lines = b"".join(answer).decode().splitlines()  # type: ignore[arg-type]
    assert len(lines) == 21
    assert lines[0].endswith("INFO      line 1")
    assert lines[-1].endswith("[child] " + "x" * 5_000)
    assert len(text_of(staff, root, of=child.pk).splitlines()) == 1


def test_it_is_for_who_may_see_logs(
    client: Client, login: Callable[..., Client], row: Callable[..., Task]
) -> None:
    found = row()
    assert client.get(url(found)).status_code == 302
    client = login("view_task", "view_task_args")
    for query in ({}, {"format": "txt"}):
        assert client.get(url(found), query).status_code == 403
        # Who may not look learns nothing of what there is.
        missing = f"/admin/cq/task/{found.pk.hex[::-1]}/log/"
        assert client.get(missing, query).status_code == 403


def test_it_is_only_read(
    login: Callable[..., Client], row: Callable[..., Task], say: Callable[..., None]
) -> None:
    client = login("view_task", "view_task_log")
    root = row()
    say(root, 1)
    assert numbers(client, root) == [1]
    assert client.post(url(root)).status_code == 405
    assert client.get("/admin/cq/task/nonsense/log/").status_code == 404


def test_lines_of_tasks_of_others_are_not_there(
    staff: Client,
    row: Callable[..., Task],
    say: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pages = type(admin.site._registry[Task])
    own = pages.get_queryset
    monkeypatch.setattr(
        pages,
        "get_queryset",
        lambda self, request: own(self, request).exclude(queue="theirs"),
    )
    root = row()
    hidden = row(parent=root, root=root, queue="theirs")
    say(hidden, 1, root, message="unseen")
    say(root, 1)
    assert numbers(staff, root) == [2]
    assert numbers(staff, root, of=hidden.pk) == []
    assert "unseen" not in text_of(staff, root)
    assert staff.get(url(hidden)).status_code == 404


def test_lines_of_a_try_are_linked_from_it(
    staff: Client, row: Callable[..., Task], say: Callable[..., None]
) -> None:
    from django.utils import timezone

    from cq.models import Attempt

    root = row(Status.FAILURE, attempts=2)
    Attempt.objects.create(
        task=root,
        number=1,
        started=timezone.now(),
        ended=timezone.now(),
        outcome="failed",
    )
    say(root, 1, attempt=1)
    text = staff.get(f"/admin/cq/task/{root.pk}/change/").content.decode()
    assert f"{url(root)}?of={root.pk}&amp;attempt=1" in text


@pytest.mark.parametrize(
    "query",
    [{}, {"q": "nowhere"}, {"level": "ERROR"}, {"before": 4_000, "q": "line 7"}],
)
def test_it_costs_the_same_however_long_it_is(
    staff: Client,
    row: Callable[..., Task],
    say: Callable[..., None],
    queries: Callable[..., list[str]],
    reads_a_table: Callable[[str], bool],
    monkeypatch: pytest.MonkeyPatch,
    query: dict[str, Any],
) -> None:
    monkeypatch.setattr(reading, "WINDOW", 1_000)
    root = row(name="root")
    child = row(name="child", parent=root, root=root)
    say(child, 4_500, root)
    connection = connections[conf.DATABASE]
    other = row().pk
    quoted = other if connection.features.has_native_uuid_field else other.hex
    with connection.cursor() as cursor:
        for doubled in range(6):
            # Of another; what a table has nothing but, a database reads from end to end.
            cursor.execute(
                "INSERT INTO cq_logs "
                "(root_id, task_id, number, attempt, level, time, message) "
                f"SELECT '{quoted}', l.task_id, l.number + {4_500 * 2**doubled}, "
                "l.attempt, l.level, l.time, l.message FROM cq_logs l"
            )
    if connection.vendor != "mysql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE cq_logs")
    page(staff, root)
    asked = questions(queries(lambda: page(staff, root, **query)))
    assert len(asked) <= 12
    assert [sql for sql in asked if reads_a_table(sql)] == []
    if connection.vendor == "postgresql":
        for sql in asked:
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN {sql}")
                plan = "\n".join(found[0] for found in cursor.fetchall())
            assert "Seq Scan on cq_logs" not in plan, sql
