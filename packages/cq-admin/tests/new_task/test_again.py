"""A task that is made again: what is kept of it, and what nobody is shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import kitchen  # noqa: F401  its tasks
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.urls import reverse
from sent_forms import data, errors, made, sent

from cq.models import Edge, Task
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db

HIDDEN = "s3cret"


def url(task: Task) -> str:
    return f"/admin/cq/task/{task.pk}/again/"


def stored(task: Task) -> dict[str, Any]:
    found: dict[str, Any] = Task.objects.filter(pk=task.pk).values().get()
    return found


@pytest.fixture
def old(row: Callable[..., Task]) -> Task:
    return row(
        Status.FAILURE,
        name="kitchen.secrets",
        args=f'["o1", "{HIDDEN}-card"]',
        kwargs=json.dumps(
            {"api_token": f"{HIDDEN}-token", "settings": {"password": f"{HIDDEN}-deep"}}
        ),
        queue="mail",
        priority=3,
        error="no",
    )


def test_the_page_of_a_task_leads_to_it(staff: Client, old: Task) -> None:
    assert reverse("admin:cq_task_again", args=[old.pk]) == url(old)
    page = staff.get(f"/admin/cq/task/{old.pk}/change/").content.decode()
    assert f'href="{url(old)}"' in page


def test_a_secret_is_kept_and_not_in_the_page(staff: Client, old: Task) -> None:
    before = stored(old)
    page = staff.get(url(old))
    text = page.content.decode()
    assert HIDDEN not in text
    assert text.count("Keep what is stored") == 3
    again = made(staff.post(url(old), {**sent(page), "argument-order": "o2"}))
    values = [*again.args, *again.kwargs.values()]
    assert values == [
        "o2",
        f"{HIDDEN}-card",
        f"{HIDDEN}-token",
        {"password": f"{HIDDEN}-deep"},
    ]
    assert (again.queue, again.priority) == ("mail", 3)
    assert again.parent_id is None
    assert again.status == Status.QUEUED
    assert stored(old) == before


def test_a_secret_that_was_typed_is_not_shown_again(staff: Client, old: Task) -> None:
    form = sent(staff.get(url(old)))
    typed = {
        "argument-card": f"{HIDDEN}-new",
        "argument-settings": json.dumps({"password": HIDDEN}),
        "argument-order": "",
        "argument-api_token": HIDDEN,
    }
    page = staff.post(url(old), {**form, **typed})
    assert list(errors(page)) == ["order"]
    assert HIDDEN not in page.content.decode()
    broken = f'{{"password": "{HIDDEN}"'
    page = staff.post(url(old), {**form, **typed, "argument-settings": broken})
    assert list(errors(page)) == ["order", "settings"]
    assert HIDDEN not in page.content.decode()
    again = made(staff.post(url(old), {**form, **typed, "argument-order": "o1"}))
    values = [*again.args, *again.kwargs.values()]
    assert values == ["o1", f"{HIDDEN}-new", HIDDEN, {"password": HIDDEN}]


def test_what_is_wrong_with_a_secret_is_said_without_it(
    staff: Client, old: Task
) -> None:
    form = sent(staff.get(url(old)))
    for wrong in (f'{{"$": "{HIDDEN}", "v": 1}}', f'{{"$":"model","v":["{HIDDEN}"]}}'):
        page = staff.post(url(old), {**form, "argument-private": wrong})
        assert errors(page) == {"private": ["This value does not fit."]}
        assert HIDDEN not in page.content.decode()


def test_a_secret_is_let_go_of_where_nobody_keeps_it(staff: Client, old: Task) -> None:
    form = sent(staff.get(url(old)))
    without = {k: v for k, v in form.items() if not k.endswith(":keep")}
    page = staff.post(url(old), without)
    assert list(errors(page)) == ["card"]
    again = made(staff.post(url(old), {**without, "argument-card": "c"}))
    assert (again.args, again.kwargs) == (("o1", "c"), {})


def test_a_function_of_the_project_hides_its_values(
    staff: Client, old: Task, settings: Any
) -> None:
    settings.CQ_REDACT = "redaction_of_tests.hide_orders"
    page = staff.get(url(old))
    assert "o1" not in page.content.decode().partition("Arguments")[2]
    again = made(staff.post(url(old), sent(page)))
    assert again.args[0] == "o1"


def test_who_may_not_see_arguments_keeps_all_of_them(
    login: Callable[..., Client], old: Task
) -> None:
    client = login("add_task", "view_task")
    page = client.get(url(old))
    text = page.content.decode()
    assert "Kept as they are stored" in text
    assert "o1" not in text.partition("Arguments")[2]
    assert HIDDEN not in text
    assert "argument-order" not in text
    forged = {**sent(page), "argument-order": "mine", "option-queue": "other"}
    again = made(client.post(url(old), forged))
    assert again.args == old.args
    assert again.kwargs == old.kwargs
    assert again.queue == "other"


def test_the_new_one_names_the_old_one(staff: Client, old: Task) -> None:
    again = made(staff.post(url(old), sent(staff.get(url(old)))))
    entry = LogEntry.objects.get()
    assert entry.object_id == str(again.pk)
    assert str(old.pk) in entry.get_change_message()
    page = staff.get(f"/admin/cq/task/{again.pk}/change/").content.decode()
    assert "Made again from" in page
    assert f'href="/admin/cq/task/{old.pk}/change/"' in page
    Task.objects.filter(pk=old.pk).delete()
    page = staff.get(f"/admin/cq/task/{again.pk}/change/").content.decode()
    assert f"{old.pk}, which was deleted" in page


def test_a_forged_name_of_the_old_one_is_none(
    staff: Client, row: Callable[..., Task]
) -> None:
    for forged in ("x", 5, None, {"a": 1}, "0" * 33):
        task = row(options={"again_of": forged})
        assert staff.get(f"/admin/cq/task/{task.pk}/change/").status_code == 200


PERMISSIONS = (
    ("add_task",),
    ("view_task",),
    ("view_task", "retry_task", "change_task", "view_task_args"),
    ("view_task", "add_task"),
)


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("codenames", PERMISSIONS)
def test_row_s10_it_needs_both_permissions(
    login: Callable[..., Client], old: Task, method: str, codenames: tuple[str, ...]
) -> None:
    client = login(*codenames)
    answer = getattr(client, method)(url(old), data({}))
    may = codenames == ("view_task", "add_task")
    done = {"get": 200, "post": 302}[method]
    assert answer.status_code == (done if may else 403)
    assert Task.objects.count() == 1 + (may and method == "post")
    nothing = "/admin/cq/task/0193f0c2-0000-7000-8000-000000000000/again/"
    assert getattr(client, method)(nothing).status_code == (404 if may else 403)


@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete", "options"])
def test_only_a_post_makes_it(staff: Client, old: Task, method: str) -> None:
    before = stored(old)
    answer = getattr(staff, method)(url(old))
    assert answer.status_code == (200 if method in ("get", "head") else 405)
    assert Task.objects.count() == 1
    assert stored(old) == before


@pytest.mark.parametrize("name", ["no.such", "cq.group", "cq.operation"])
def test_what_is_not_registered_is_not_made_again(
    staff: Client, row: Callable[..., Task], name: str
) -> None:
    task = row(name=name)
    assert staff.post(url(task), data({"value": "1"})).status_code == 403
    assert staff.get(url(task)).status_code == 403
    assert (
        url(task) not in staff.get(f"/admin/cq/task/{task.pk}/change/").content.decode()
    )
    assert Task.objects.count() == 1


# What is stored -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    [
        '["1"]',
        "[null]",
        '[{"$":"datetime","v":"2026-01-01T00:00:00.123456+02:00"}]',
        '[{"$":"decimal","v":"Infinity"}]',
        '[{"$":"str","v":["\\ud83d","\\ude00"]}]',
        '["\\u202e a\\u0000b\\r"]',
        '["\\ud800"]',
        '[{"$":"set","v":[1,2]}]',
        '[{"$":"dict","v":[["$",1]]}]',
        '[[["password=' + HIDDEN + '"]]]',
        '["' + "x" * 40_000 + '"]',
    ],
)
def test_whatever_is_stored_comes_back(
    staff: Client, row: Callable[..., Task], args: str
) -> None:
    for name in ("kitchen.plain", "kitchen.any_order"):
        task = row(name=name, args=args)
        page = staff.get(url(task))
        assert page.status_code == 200
        assert HIDDEN not in page.content.decode()
        again = made(staff.post(url(task), sent(page)))
        assert json.loads(again.stored_text("args")) == json.loads(args)


@pytest.mark.parametrize(
    "args", ["no json", '{"a": 1}', '[{"$":"model","v":5}]', "[1, 2]"]
)
@pytest.mark.parametrize("sees", [True, False])
def test_what_cannot_be_read_is_said(
    login: Callable[..., Client], row: Callable[..., Task], args: str, sees: bool
) -> None:
    client = login("view_task", "add_task", *["view_task_args"][: int(sees)])
    task = row(name="kitchen.unique", args=args, kwargs='{"gone": 1}')
    page = client.get(url(task))
    assert page.status_code == 200
    answer = client.post(url(task), {**sent(page), "option-queue": "q"})
    if args == "[1, 2]" and sees:
        assert "<bdi>gone</bdi>" in page.content.decode()
        assert made(answer).args == (1,)
    else:
        assert answer.status_code == 200
        assert Task.objects.count() == 1


def test_a_row_that_is_gone_is_said_at_its_field(
    staff: Client, row: Callable[..., Task]
) -> None:
    node = '{"$":"model","v":["auth.User",987654,"default"]}'
    task = row(name="kitchen.plain", args=f"[{node}]")
    page = staff.post(url(task), sent(staff.get(url(task))))
    assert list(errors(page)) == ["value"]
    assert "is not in" in str(errors(page))
    assert Task.objects.count() == 1


def test_the_result_of_another_task_stays_one(
    staff: Client, row: Callable[..., Task]
) -> None:
    first = row(Status.COMPLETE, result="5")
    task = row(name="kitchen.plain", args='[{"$":"task","v":0}]')
    Edge.objects.create(task=task, depends_on=first, when="complete", position=0)
    form = sent(staff.get(url(task)))
    again = made(staff.post(url(task), form))
    edge = Edge.objects.get(task=again)
    assert (edge.depends_on_id, edge.position) == (first.pk, 0)
    assert again.args == (first,)

    Task.objects.filter(pk=first.pk).update(status=Status.FAILURE)
    page = staff.post(url(task), form)
    assert "has not succeeded" in str(errors(page))
    assert f'href="/admin/cq/task/{first.pk}/change/"' in page.content.decode()

    Task.objects.filter(pk=first.pk).delete()
    page = staff.post(url(task), form)
    assert list(errors(page)) == ["value"]
    assert Task.objects.filter(name="kitchen.plain").count() == 2


def test_who_takes_the_result_of_another_is_not_made_again(
    staff: Client, row: Callable[..., Task]
) -> None:
    task = row(name="kitchen.unique", args="[1]", options={"takes_result": True})
    assert "It only takes the result" in staff.get(url(task)).content.decode()
    assert staff.post(url(task), data({"order": "1"})).status_code == 200
    assert Task.objects.count() == 1


def test_the_unique_key_of_a_task_that_is_not_done_is_said_with_a_link(
    staff: Client, row: Callable[..., Task]
) -> None:
    task = row(Status.QUEUED, name="kitchen.unique", args="[7]", unique_key="order:7")
    form = sent(staff.get(url(task)))
    page = staff.post(url(task), form)
    assert "Its unique key belongs to another task" in str(errors(page))
    assert f'href="/admin/cq/task/{task.pk}/change/"' in page.content.decode()
    assert not LogEntry.objects.exists()
    assert made(staff.post(url(task), {**form, "argument-order": "8"})).args == (8,)


def test_options_of_the_call_are_kept(staff: Client, row: Callable[..., Task]) -> None:
    task = row(
        name="kitchen.plain",
        args="[1]",
        result_ttl=-1,
        options={"retries": 7, "timeout": 5.0, "unique": "mine", "release": "r1"},
    )
    again = made(staff.post(url(task), sent(staff.get(url(task)))))
    assert again.options is not None
    assert again.options["retries"] == 7
    assert again.options["timeout"] == 5.0
    assert again.unique_key == "mine"
    assert again.result_ttl == -1
    assert "release" not in again.options
    for forged in ({"retries": -1}, ["x"], {"unique": ""}, {"timeout": "x"}):
        task = row(name="kitchen.plain", options=forged)
        answer = staff.post(url(task), sent(staff.get(url(task))))
        assert answer.status_code in (200, 302), forged


def test_limits_of_the_call_are_kept(
    staff: Client, row: Callable[..., Task], settings: Any
) -> None:
    settings.CQ_LIMITS = {"stripe": {"concurrency": 3}}
    given = [
        ["k", {"rate": "5/m", "burst": 2}],
        ["stripe", {"name": "stripe"}],
    ]
    forged = [["gone", "{gone}"], ["k", {"concurrency": 0}], ["k", {"rate": []}], 7]
    kept = {"limits": [*given, *forged], "fair": "acme"}
    task = row(name="kitchen.plain", args="[1]", options=kept)
    again = made(staff.post(url(task), sent(staff.get(url(task)))))
    assert again.options == {**again.options, "limits": given, "fair": "acme"}

    # What its function says is made of its arguments.
    kept = {"limits": [["order:1", "order:{order}"]]}
    task = row(name="kitchen.limited", args="[7]", options=kept)
    again = made(staff.post(url(task), sent(staff.get(url(task)))))
    assert [key for key, _source in again.options["limits"]] == [
        "order:7",
        "order 7",
        "kitchen.limited",
    ]
    assert again.options["fair"] == "7"


def test_what_no_key_can_be_made_of_is_said_by_the_name_of_the_option(
    staff: Client, row: Callable[..., Task]
) -> None:
    task = row(name="kitchen.limited", args='["%s"]' % ("x" * 300))
    page = staff.post(url(task), sent(staff.get(url(task))))
    assert "limits: ValueError" in str(errors(page))
    assert "xxx" not in str(errors(page))


def test_it_runs_for_who_asks_in_the_context_of_the_old_one(
    staff: Client, row: Callable[..., Task], settings: Any
) -> None:
    settings.CQ_CONTEXT = ["cq.context.user", "cq.context.language"]
    kept = {"context": {"user": 987654, "language": "de"}}
    task = row(name="kitchen.plain", args="[1]", options=kept)
    again = made(staff.post(url(task), sent(staff.get(url(task)))))
    assert again.context == {
        "user": User.objects.get(username="staff").pk,
        "language": "de",
    }


def test_a_project_that_denies_a_task_denies_it_here(
    staff: Client, old: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cq_admin.task_pages.admin import TaskAdmin

    def deny(self: Any, request: Any, obj: Any = None) -> bool:
        return obj is None

    monkeypatch.setattr(TaskAdmin, "has_view_permission", deny)
    assert staff.get(url(old)).status_code == 403
    assert staff.post(url(old), data({})).status_code == 403
    assert Task.objects.count() == 1


def test_it_is_a_few_queries(
    staff: Client, old: Task, queries: Any, reads_a_table: Any
) -> None:
    Permission.objects.count()
    found = queries(lambda: staff.get(url(old)))
    assert len([sql for sql in found if " FROM " in sql]) <= 12
    assert not [sql for sql in found if reads_a_table(sql)]
