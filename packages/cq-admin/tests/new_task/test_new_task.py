"""A task that is made by hand: its form, and what it is called with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import kitchen
import pytest
from django.contrib import admin
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hostile_texts import inline_code, without_token
from sent_forms import data, errors, made, sent

import cq_admin.task_pages.admin
from cq.models import Task
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db

URL = "/admin/cq/task/add/"


@pytest.fixture(autouse=True)
def zone(settings: Any) -> None:
    settings.TIME_ZONE = "America/Chicago"


def typed(client: Client) -> dict[str, Any]:
    """What a form says for the task with every annotation."""
    given = {name: text for name, (text, _) in kitchen.TYPED.items()}
    given["user"] = str(User.objects.get(username="staff").pk)
    given["permission"] = str(Permission.objects.order_by("pk")[0].pk)
    given["group"] = str(Group.objects.create(name="cooks").pk)
    given["rest"] = "[1, 2]"
    given["note"] = "quick"
    given["more"] = '{"spice": true}'
    return given


def make(client: Client, name: str, given: dict[str, Any], **options: Any) -> Any:
    return client.post(f"{URL}?name={name}", data(given, name, **options))


# The form -----------------------------------------------------------------------------


def test_without_a_name_it_asks_for_one(staff: Client) -> None:
    page = staff.get(URL)
    assert page.status_code == 200
    text = page.content.decode()
    assert '<option value="kitchen.cook">kitchen.cook</option>' in text
    assert "cq.group" not in text
    assert reverse("admin:cq_task_add") == URL


def test_a_name_that_is_not_there_is_said(staff: Client) -> None:
    for name in ("no.such", "cq.operation", "<script>alert(1)</script>", "a\x00b"):
        page = staff.get(URL, {"name": name})
        assert page.status_code == 404
        assert "There is no task" in page.content.decode()
        assert "<script>alert" not in page.content.decode()


def test_the_form_of_every_annotation_round_trips(staff: Client) -> None:
    given = typed(staff)
    task = made(make(staff, "kitchen.cook", given, queue="kitchen"))
    wanted = {name: value for name, (_, value) in kitchen.TYPED.items()}
    wanted["user"] = User.objects.get(username="staff")
    wanted["permission"] = Permission.objects.order_by("pk")[0]
    wanted["group"] = Group.objects.get(name="cooks")
    assert task.args == (*wanted.values(), 1, 2)
    assert [type(a) for a in task.args] == [type(v) for v in (*wanted.values(), 1, 2)]
    assert task.kwargs == {"note": "quick", "spice": True}
    assert task.queue == "kitchen"
    assert task.parent_id is None

    again = f"/admin/cq/task/{task.pk}/again/"
    form = staff.get(again)
    second = made(staff.post(again, sent(form)))
    assert second.pk != task.pk
    assert second.stored_text("args") == task.stored_text("args")
    assert second.stored_text("kwargs") == task.stored_text("kwargs")
    assert second.queue == "kitchen"


def test_what_was_typed_stays_where_something_else_is_wrong(staff: Client) -> None:
    given = {**typed(staff), "whole": "seven"}
    page = make(staff, "kitchen.cook", given, queue="kitchen")
    assert list(errors(page)) == ["whole"]
    corrected = {**sent(page), "name": "kitchen.cook", "argument-whole": "7"}
    task = made(staff.post(URL, corrected))
    assert task.args[0] == 7
    assert task.args[4:6] == ("a 'b' <c>", "a\n\nb\n")


WRONG = {
    "whole": ["1.5", "", "9" * 5000],
    "number": ["one", "nan", "inf"],
    "price": ["ten", "NaN", "Infinity"],
    "yes": ["maybe", ""],
    "text": ["", "a\x00b"],
    "day": ["2026-02-30", "yesterday"],
    "clock": ["25:00"],
    "moment": ["2026-03-08T02:30", "never"],
    "length": ["long"],
    "ident": ["1234"],
    "colour": ["BLUE", "g"],
    "size": ["xl"],
    "maybe": ["x"],
    "order": ["x"],
    "items": ["{}", "[1", '"a"', '[{"$": "no such", "v": 1}]', '[{"$":"task","v":0}]'],
    "table": ["[]", "null", '{"a": NaN}', "[" * 90 + "]" * 90],
    "anything": ["", "no json", '{"$": "model", "v": ["auth.User", 0, "default"]}'],
    "user": ["0", "x", "", "\x00", "9" * 300],
    "permission": ["-1", "x", "1e9", "9" * 30],
    "group": ["cooks"],
    "rest": ["{}", "1", "[", "null"],
    "more": ["[]", '{"whole": 1}', '{"cqt": 1}', '{"$": "dict", "v": [[1, 2]]}'],
}


@pytest.mark.parametrize("field", WRONG)
def test_a_wrong_value_is_refused_at_its_field_and_writes_nothing(
    staff: Client, field: str
) -> None:
    good = typed(staff)
    for value in WRONG[field]:
        page = make(staff, "kitchen.cook", {**good, field: value}, queue="kitchen")
        assert page.status_code == 200, value
        assert list(errors(page)) == [field], value
        assert "Nothing was made." in page.content.decode()
    assert not Task.objects.exists()
    assert not LogEntry.objects.exists()


def test_what_is_too_large_is_refused(staff: Client, settings: Any) -> None:
    settings.CQ_SIZE_LIMIT = 2000
    page = make(staff, "kitchen.plain", {"value": f'"{"x" * 3000}"'})
    assert list(errors(page)) == ["value"]
    page = make(
        staff,
        "kitchen.secrets",
        {"order": "x" * 1500, "card": "y" * 1500, "settings": ""},
    )
    assert "CQ_SIZE_LIMIT" in str(errors(page))
    assert not Task.objects.exists()


def test_defaults_are_shown_and_left_to_the_function(staff: Client) -> None:
    page = staff.get(URL, {"name": "kitchen.defaults"})
    text = page.content.decode()
    assert "Default: 5" in text
    assert "Default: what the function says" in text
    untouched = {**sent(page), "argument-first": "1"}
    assert untouched["argument-third"] == "abc"
    task = made(staff.post(f"{URL}?name=kitchen.defaults", untouched))
    assert (task.args, task.kwargs) == ((1,), {})
    # One that is behind others has theirs given.
    changed = {**untouched, "argument-third": "", "argument-sixth": "false"}
    task = made(staff.post(f"{URL}?name=kitchen.defaults", changed))
    assert (task.args, task.kwargs) == ((1, 5, ""), {"sixth": False})


def test_a_default_that_cannot_be_stored_is_said_where_it_is_needed(
    staff: Client,
) -> None:
    given = {"args": "[1]", "kwargs": '{"a": 1}'}
    task = made(make(staff, "kitchen.anything", given))
    assert (task.args, task.kwargs) == ((1,), {"a": 1})


def test_required_ones_are_marked(staff: Client) -> None:
    text = staff.get(URL, {"name": "kitchen.cook"}).content.decode()
    assert re.search(r'<label for="id_argument-whole" class="required">whole', text)
    assert re.search(r'<label for="id_argument-note">note', text)
    assert "A whole number. Required." in text
    assert "Empty is None." in text
    assert re.search(r'<textarea[^>]*name="argument-items"', text)


def test_long_text_has_more_than_a_line(
    staff: Client, row: Callable[..., Task]
) -> None:
    for text, tag in (("x" * 61, "textarea"), ("a\\nb", "textarea"), ("a", "input")):
        old = row(name="kitchen.secrets", args=f'["{text}", "c"]')
        page = staff.get(f"/admin/cq/task/{old.pk}/again/").content.decode()
        assert re.search(rf'<{tag}[^>]*name="argument-order"', page), text


# Options ------------------------------------------------------------------------------


def test_options_are_the_functions_until_they_are_changed(staff: Client) -> None:
    form = staff.get(URL, {"name": "kitchen.cook"}).context["cq_new"].options
    assert form["queue"].value() == "kitchen"
    given = {"value": "1"}
    task = made(
        make(
            staff,
            "kitchen.plain",
            given,
            queue="mail",
            priority="7",
            run_after="2999-01-01T12:00",
        )
    )
    assert (task.queue, task.priority, task.status) == ("mail", 7, Status.PENDING)
    assert task.run_after is not None
    assert task.run_after.isoformat() == "2999-01-01T18:00:00+00:00"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("queue", ""),
        ("queue", "q" * 101),
        ("queue", "not listed"),
        ("priority", "101"),
        ("priority", ""),
        ("run_after", "soon"),
        ("run_after", "0001-01-01T00:00"),
    ],
)
def test_a_wrong_option_is_refused_at_its_field(
    staff: Client, settings: Any, option: str, value: str
) -> None:
    settings.CQ_QUEUES = ["default", "mail"]
    page = make(staff, "kitchen.plain", {"value": "1"}, **{option: value})
    assert list(errors(page)) == [option]
    assert not Task.objects.exists()


# Who ----------------------------------------------------------------------------------


def test_it_is_logged_with_who_made_it_and_runs_for_them(
    staff: Client, settings: Any
) -> None:
    settings.CQ_CONTEXT = ["cq.context.user"]
    task = made(make(staff, "kitchen.plain", {"value": "1"}))
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.action_flag) == (str(task.pk), ADDITION)
    assert entry.user.username == "staff"
    assert (
        task.context == {"cq.user": entry.user.pk}
        or entry.user.pk in (task.context or {}).values()
    )


PERMISSIONS = ("add_task", "view_task", "view_task_args", "change_task", "retry_task")


@pytest.mark.parametrize("method", ["get", "post"])
def test_row_s10_only_who_may_add_tasks_makes_one(
    login: Callable[..., Client], method: str
) -> None:
    client = login()
    user = User.objects.get(username="kim")
    for codename in PERMISSIONS:
        user.user_permissions.set(
            Permission.objects.filter(
                content_type__app_label="cq",
                content_type__model="task",
                codename=codename,
            )
        )
        answer = getattr(client, method)(
            f"{URL}?name=kitchen.plain", data({"value": "1"}, "kitchen.plain")
        )
        may = codename == "add_task"
        done = {"get": 200, "post": 302}[method]
        assert answer.status_code == (done if may else 403), codename
        assert Task.objects.exists() is (may and method == "post")
        Task.objects.all().delete()


def test_without_a_login_there_is_only_the_login(client: Client) -> None:
    for method in ("get", "post"):
        answer = getattr(client, method)(URL, data({"value": "1"}, "kitchen.plain"))
        assert answer["Location"].startswith("/admin/login/")
    assert not Task.objects.exists()


@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete", "options"])
def test_only_a_post_makes_anything(staff: Client, method: str) -> None:
    answer = getattr(staff, method)(f"{URL}?name=kitchen.plain")
    assert answer.status_code == (200 if method in ("get", "head") else 405)
    assert not Task.objects.exists()


def test_row_s9_a_post_needs_a_token(staff: Client) -> None:
    careful = Client(enforce_csrf_checks=True)
    careful.cookies = staff.cookies
    answer = make(careful, "kitchen.plain", {"value": "1"})
    assert answer.status_code == 403
    page = staff.get(f"{URL}?name=kitchen.cook").content.decode()
    assert "<form" in page
    assert not without_token(page)


@pytest.mark.parametrize("name", ["no.such", "cq.operation", "cq.group", "", "kitchen"])
def test_a_name_that_is_not_registered_is_refused(staff: Client, name: str) -> None:
    answer = staff.post(URL, data({"value": "1"}, name))
    assert answer.status_code == 403
    assert not Task.objects.exists()


def test_a_project_narrows_the_names(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = cq_admin.task_pages.admin.TaskAdmin
    offered = lambda self, request: ["kitchen.plain", "no.such"]  # noqa: E731
    monkeypatch.setattr(pages, "offered", offered)
    old = row(name="kitchen.unique", args="[1]")
    assert "kitchen.cook" not in staff.get(URL).content.decode()
    assert make(staff, "kitchen.unique", {"order": "1"}).status_code == 403
    # By the address, too, and the one does not make up for the other.
    body = data({"value": "1"}, "kitchen.unique")
    assert staff.post(f"{URL}?name=kitchen.plain", body).status_code == 403
    assert staff.post(URL, data({}, "no.such")).status_code == 403
    again = f"/admin/cq/task/{old.pk}/again/"
    assert staff.post(again, data({"order": "1"})).status_code == 403
    assert staff.get(again).status_code == 403
    assert again not in staff.get(f"/admin/cq/task/{old.pk}/change/").content.decode()
    assert Task.objects.count() == 1
    made(make(staff, "kitchen.plain", {"value": "1"}))


# Rows ---------------------------------------------------------------------------------


def test_rows_of_what_somebody_may_not_see_are_not_named(
    login: Callable[..., Client],
) -> None:
    client = login("add_task")
    staff = User.objects.create_superuser("staff")
    stored = f'{{"$": "model", "v": ["auth.User", {staff.pk}, "default"]}}'
    page = make(client, "kitchen.plain", {"value": stored})
    assert "which you may not see" in str(errors(page))
    page = make(client, "kitchen.cook", typed(client), queue="kitchen")
    found = errors(page)
    assert sorted(found) == ["group", "permission", "user"]
    assert all("which you may not see" in str(one) for one in found.values())
    assert not Task.objects.exists()


def test_the_admins_search_finds_rows_for_who_may_see_them(
    staff: Client, login: Callable[..., Client]
) -> None:
    url, asked = (
        f"{URL}rows/",
        {"app_label": "auth", "model_name": "user", "term": "sta"},
    )
    page = staff.get(f"{URL}?name=kitchen.cook").content.decode()
    assert 'src="/static/cq_admin/named-select.js" type="module"' in page
    assert 'src="/static/admin/js/autocomplete.js"' in page
    assert page.count('data-ajax--url="/admin/cq/task/add/rows/"') == 2
    found = staff.get(url, asked).json()
    pk = User.objects.get(username="staff").pk
    assert found["results"] == [{"id": str(pk), "text": "staff"}]
    assert staff.get(url, {**asked, "term": "\x00no"}).json()["results"] == []
    for other in ({}, {"app_label": "auth"}, {**asked, "model_name": "no"}):
        assert staff.get(url, other).status_code == 403
    assert staff.get(url, {**asked, "model_name": "permission"}).status_code == 404
    assert staff.post(url, asked).status_code == 405
    for codenames in ((), ("add_task",)):
        User.objects.filter(username="kim").delete()
        assert login(*codenames).get(url, asked).status_code == 403


def test_without_a_script_a_row_is_named_by_its_key(staff: Client) -> None:
    given = typed(staff)
    key = given.pop("user")
    task = made(
        make(staff, "kitchen.cook", {**given, "user": "", "user-key": key}, queue="k")
    )
    assert task.args[20] == User.objects.get(username="staff")
    text = staff.get(f"{URL}?name=kitchen.cook").content.decode()
    assert re.search(r'<noscript><label>.*name="argument-user-key"', text)


# Texts --------------------------------------------------------------------------------


def test_row_s7_docstrings_and_defaults_are_escaped(staff: Client) -> None:
    for name in ("kitchen.hostile", "kitchen.cook"):
        text = staff.get(f"{URL}?name={name}").content.decode()
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
        assert "<script>alert" not in text
        assert "<b>" not in text
        assert "\u202e" not in text
        assert not inline_code(text)


def test_the_unique_key_of_another_is_said_with_a_link(staff: Client) -> None:
    given = {"order": "7"}
    later = "2999-01-01T12:00"
    first = made(make(staff, "kitchen.unique", given, run_after=later))
    page = make(staff, "kitchen.unique", given, run_after=later)
    assert "Its unique key belongs to another task" in str(errors(page))
    text = page.content.decode()
    assert f'href="/admin/cq/task/{first.pk}/change/"' in text
    assert Task.objects.count() == LogEntry.objects.count() == 1
    made(make(staff, "kitchen.unique", {"order": "8"}, run_after=later))


def test_a_key_that_is_remembered_is_said_with_a_link(
    staff: Client, row: Callable[..., Task]
) -> None:
    first = row(
        Status.COMPLETE,
        name="kitchen.remembered",
        kept_key="order:7",
        finished=timezone.now(),
    )
    page = make(staff, "kitchen.remembered", {"order": "7"})
    assert "that key is remembered for a while" in str(errors(page))
    assert f'href="/admin/cq/task/{first.pk}/change/"' in page.content.decode()
    assert Task.objects.count() == 1
    made(make(staff, "kitchen.remembered", {"order": "8"}))


def test_a_call_that_replaces_another_leads_to_that(staff: Client) -> None:
    first = made(make(staff, "kitchen.debounced", {"order": "7", "note": "soon"}))
    again = made(make(staff, "kitchen.debounced", {"order": "7", "note": "now"}))
    assert again == first
    assert Task.objects.get().kwargs == {"note": "now"} or again.args == (7, "now")


def test_another_site_has_its_own(staff: Client) -> None:
    second = admin.AdminSite(name="behind")
    pages = cq_admin.task_pages.admin.TaskAdmin(Task, second)
    names = {one.name for one in pages.get_urls()}
    assert {"cq_task_add", "cq_task_again", "cq_task_rows"} <= names
