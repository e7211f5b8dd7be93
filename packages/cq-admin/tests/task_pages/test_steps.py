"""The steps of a durable task on its page: what it did, waits for, and has not read."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.utils import timezone
from hostile_texts import PAYLOADS, tags

from cq import task
from cq.codec import Encoded
from cq.display.redaction import HIDDEN
from cq.models import Edge, Message, Step, Task
from cq.status import Status
from cq.testing import run_tasks

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db


@task("steps.fulfil", durable=True, redact=("card",))
def fulfil(cqt: Any, order: int) -> None: ...


@task("steps.packs", durable=True)
def packs(cqt: Any, order: int) -> str:
    receipt = cqt.step("charge", lambda n: f"receipt {n}", order)
    cqt.results([cqt.subtask(plain)])
    cqt.wait_for("approval", timeout=timedelta(days=3))
    return str(receipt)


@task("steps.plain")
def plain(cqt: Any) -> None: ...


NOW = timezone.now()


@pytest.fixture
def suspended(row: Callable[..., Task]) -> Task:
    return row(Status.SUSPENDED, name="steps.fulfil", started=NOW)


def step(of: Task, kind: str, name: str, **values: Any) -> Step:
    made: dict[str, Any] = {"started": NOW - timedelta(seconds=3), "finished": NOW}
    if isinstance(values.get("result"), str):
        values["result"] = Encoded(values["result"])
    made |= {"fence": 1, "number": 1, "tries": 0} | values
    return Step.objects.create(task=of, kind=kind, name=name, **made)


def page(client: Client, of: Task) -> str:
    found = client.get(f"/admin/cq/task/{of.pk}/change/")
    assert found.status_code == 200
    return found.content.decode()


def section(client: Client, of: Task) -> str:
    html = page(client, of)
    if 'id="steps"' not in html:
        return ""
    found = html[html.index('id="steps"') :]
    return found[: found.index("</section>")]


def text_of(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def rows(html: str) -> list[list[str]]:
    found = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    cells = [re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row, re.DOTALL) for row in found]
    return [[text_of(cell) for cell in row] for row in cells]


# What it has done ---------------------------------------------------------------------


def test_each_step_with_what_came_of_it(staff: Client, suspended: Task) -> None:
    step(suspended, "call", "charge", tries=1, result='"receipt 7"')
    step(suspended, "call", "pack", key="book", number=0, tries=2, result="{}")
    step(
        suspended,
        "call",
        "mail",
        number=2,
        tries=6,
        error="no answer",
        exception="shop.Gateway",
        traceback="Traceback of it",
    )
    step(suspended, "wait", "approval", error="timeout", exception="timeout")
    step(suspended, "new kind", "later", finished=None)

    found = rows(section(staff, suspended))[1:]

    assert [cells[0] for cells in found] == [
        "charge",
        "pack (book)",
        "mail 2",
        "approval",
        "later",
    ]
    assert [cells[1] for cells in found[2:]] == [
        "call",
        "wait for a message",
        "new kind",
    ]
    assert [cells[3] for cells in found] == ["3 s"] * 3 + ["-"] * 2
    assert [cells[4] for cells in found] == ["1", "2", "6", "-", "-"]
    assert [cells[5] for cells in found] == [
        "'receipt 7'",
        "{}",
        "shop.Gateway: no answer Traceback Traceback of it",
        "Nobody has sent it in time.",
        "open",
    ]


def test_of_what_cq_keeps_for_itself_the_number(staff: Client, suspended: Task) -> None:
    step(suspended, "each", "rows", finished=None, result='[2000, ["key"]]')
    step(suspended, "record", "shop.pack", result='["0193f0c2", "=0193f0c3"]')
    step(suspended, "results", "results()", result='["0193f0c2"]')

    found = [cells[5] for cells in rows(section(staff, suspended))[1:]]

    assert found == ["2000 open", "2", ""]


def test_of_many_steps_the_first_the_last_and_the_open_ones(
    staff: Client, suspended: Task
) -> None:
    for number in range(1, 101):
        finished = None if number == 40 else NOW
        step(suspended, "call", "pack", number=number, finished=finished)

    html = section(staff, suspended)
    names = [cells[0] for cells in rows(html)[1:]]

    assert names[1:25] == [f"pack {n}" for n in range(2, 26)]
    assert names[25:] == [f"pack {n}" for n in (40, *range(76, 101))]
    assert "51 of 100 steps" in text_of(html)


def test_steps_of_others_are_not_among_them(
    staff: Client, row: Callable[..., Task], suspended: Task
) -> None:
    step(row(name="steps.fulfil"), "call", "of another")
    step(suspended, "call", "mine")
    assert [cells[0] for cells in rows(section(staff, suspended))[1:]] == ["mine"]


@pytest.mark.django_db(transaction=True)
def test_what_a_run_has_left_and_waits_for(staff: Client, settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    handle = packs.delay(7)
    handle.send("paid", 1)
    run_tasks()

    html = section(staff, handle)

    assert [[cells[0], cells[1], cells[5]] for cells in rows(html)[1:5]] == [
        ["charge", "call", "'receipt 7'"],
        ["steps.plain", "tasks that it made", "1"],
        ["results()", "results of tasks", ""],
        ["approval", "wait for a message", "open"],
    ]
    assert re.findall("<dt>(.*?)</dt>", html) == ["Waits for a message", "Waits until"]
    assert "paid" in html[html.index('id="unread"') :]


# What it waits for --------------------------------------------------------------------


def test_what_a_suspended_task_waits_for(
    staff: Client, suspended: Task, row: Callable[..., Task]
) -> None:
    later = NOW + timedelta(days=3)
    Task.objects.filter(pk=suspended.pk).update(run_after=later)
    step(suspended, "sleep", "cool-off", finished=later)
    step(suspended, "wait", "approval", finished=None, moment=later)
    step(suspended, "topic", "order:42:paid", finished=None)
    step(suspended, "ask", "Refund?", finished=None)
    step(suspended, "results", "results()", finished=None)
    step(suspended, "call", "charge", finished=None, tries=2, error="no answer")
    for _ in range(2):
        child = row(Status.QUEUED, name="steps.plain")
        Edge.objects.create(task=suspended, depends_on=child, when="results")

    found = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", section(staff, suspended))
    said = {label: text_of(value) for label, value in found}

    assert list(said) == [
        "Sleeps until",
        "Waits for a message",
        "Waits until",
        "Waits for a topic",
        "Waits for an answer",
        "Waits for tasks",
        "Next try of a step",
    ]
    day = f"{timezone.localtime(later):%Y-%m-%d}"
    assert said["Sleeps until"].startswith(day)
    assert said["Sleeps until"].endswith(", cool-off")
    assert said["Waits for a message"] == "approval"
    assert said["Waits until"].startswith(day)
    assert said["Waits for tasks"] == "2"
    assert said["Next try of a step"].endswith(", charge")


def test_a_task_that_was_woken_is_not_said_to_wait(
    staff: Client, row: Callable[..., Task]
) -> None:
    woken = row(Status.QUEUED, name="steps.fulfil", started=NOW)
    step(woken, "wait", "approval", finished=None)
    html = section(staff, woken)
    assert "approval" in html
    assert "<dl" not in html


def test_messages_that_nothing_has_taken_by_name(
    staff: Client, suspended: Task
) -> None:
    for name, taken in [("paid", None), ("paid", None), ("approval", 1)]:
        Message.objects.create(
            task=suspended,
            name=name,
            sent=NOW,
            taken_by=taken,
            payload=Encoded('"s3cret payload"'),
        )

    html = section(staff, suspended)

    assert [cells[:2] for cells in rows(html)[1:]] == [["paid", "2"]]
    assert "s3cret" not in html


def test_of_many_messages_the_first_are_read(staff: Client, suspended: Task) -> None:
    Message.objects.bulk_create(
        Message(task=suspended, name=f"of {n:04}", sent=NOW) for n in range(1_010)
    )
    html = section(staff, suspended)
    assert len(rows(html)[1:]) == 20
    assert "There are more" in html


# Who may see it -----------------------------------------------------------------------


def test_results_need_a_permission_of_their_own(
    login: Callable[..., Client], suspended: Task
) -> None:
    step(suspended, "call", "charge", result='"receipt 7"')
    html = section(login("view_task"), suspended)
    assert "charge" in html
    assert "receipt" not in html
    assert "Shown to those who may see arguments and results." in html


def test_what_is_secret_is_hidden(
    login: Callable[..., Client], suspended: Task, settings: Any
) -> None:
    settings.CQ_REDACT_TEXT = "redaction_of_tests.hide_words"
    step(suspended, "call", "charge", result='{"password": "s3cret", "to": "bob"}')
    step(suspended, "call", "card", result='"s3cret 4711"')
    step(suspended, "wait", "token", result='["s3cret"]')
    step(suspended, "call", "mail", error="hunter2", traceback="of hunter2")
    html = section(login("view_task", "view_task_args"), suspended)
    assert "bob" in html
    assert "s3cret" not in html
    assert html.count(str(HIDDEN)) == 3
    assert "hunter2" not in html
    assert html.count("[gone]") == 2


def test_a_result_that_is_long_is_not_read(staff: Client, suspended: Task) -> None:
    step(suspended, "call", "charge", result=f'"{"x" * 20_000}"')
    html = section(staff, suspended)
    assert "[cut; 20,002 characters are stored]" in html
    assert "xxx" not in html


def hostile(row: Callable[..., Task], text: str) -> Task:
    of = row(Status.SUSPENDED, name="steps.fulfil", started=NOW)
    result = Encoded(f'["{"y" * 120}", {json.dumps(text)}]')
    step(of, "call", text, key=text, number=0, result=result)
    step(of, "call", "short", result=Encoded(json.dumps(text)))
    step(of, "call", "failed", error=text, exception=text, traceback=text)
    step(of, "wait", text, finished=None)
    kind = text[:10]
    if connection.vendor == "mysql":  # where that column is of ASCII
        kind = text.encode("ascii", "ignore").decode()[:10] or "?"
    step(of, kind, "of another kind", finished=None)
    Message.objects.create(task=of, name=text, sent=NOW)
    return of


def test_hostile_texts_stay_text(staff: Client, row: Callable[..., Task]) -> None:
    expected = tags(section(staff, hostile(row, "plain")))
    for text in PAYLOADS:
        html = section(staff, hostile(row, text))
        assert tags(html) == expected, text


# What it costs ------------------------------------------------------------------------


def asked(sql: list[str]) -> list[str]:
    """The statements of the section; the form of a question has one of its own."""
    found = [one for one in sql if "cq_steps" in one or "cq_messages" in one]
    return [one for one in found if '"form"' not in one.replace("`", '"')]


def test_two_queries_and_none_for_what_is_not_durable(
    staff: Client,
    row: Callable[..., Task],
    suspended: Task,
    queries: Callable[..., list[str]],
    reads_a_table: Callable[[str], bool],
) -> None:
    for number in range(60):
        step(suspended, "call", "pack", number=number)
    found = asked(queries(lambda: page(staff, suspended)))
    assert len(found) == 2
    assert not [sql for sql in found if reads_a_table(sql)]
    for name in ("steps.plain", "steps.of.other.code"):
        other = row(name=name)
        step(other, "call", "not asked for")
        assert asked(queries(lambda other=other: page(staff, other))) == []
    assert len(asked(queries(lambda: page(staff, row(name="steps.fulfil"))))) == 2
    # Nobody knows here whether it is durable, but that it is suspended.
    assert len(asked(queries(lambda: page(staff, row(Status.SUSPENDED))))) == 2


def test_a_durable_task_without_steps_has_no_section(
    staff: Client, row: Callable[..., Task]
) -> None:
    assert section(staff, row(name="steps.fulfil")) == ""


@pytest.mark.parametrize(
    ("language", "word"), [("de", "Schritte"), ("fr", "Étapes"), ("es", "Pasos")]
)
def test_its_words_are_translated(
    staff: Client, suspended: Task, settings: Any, language: str, word: str
) -> None:
    step(suspended, "call", "charge")
    settings.LANGUAGE_CODE = language
    assert f'<h2 id="steps">{word}</h2>' in page(staff, suspended)
