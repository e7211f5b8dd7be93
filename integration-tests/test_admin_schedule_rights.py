"""Who edits schedules, sees of them what they may and no more."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages

from cq import task
from cq.models import Task
from cq_scheduler import run_now, schedule_task
from cq_scheduler.models import RepeatingTask

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db

URL = "/admin/cq_scheduler/repeatingtask/"
EDITOR = ("add_repeatingtask", "change_repeatingtask", "view_task_args")


@task("rights.clean")
def clean(
    cqt: Any, folder: Any = "", *, password: str = "", who: Any = None
) -> None: ...


@task("rights.by_code", schedulable=False)
def by_code(cqt: Any) -> None: ...


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


@pytest.fixture
def login(client: Client) -> Callable[..., Client]:
    def as_staff(*codenames: str) -> Client:
        user = get_user_model().objects.create_user("kim", password="", is_staff=True)
        found = Permission.objects.filter(codename__in=codenames)
        assert found.count() == len(codenames)
        user.user_permissions.set(found)
        client.force_login(user)
        return client

    return as_staff


@pytest.fixture
def staff(client: Client) -> Client:
    user = get_user_model().objects.create_superuser("staff", password="staff")
    client.force_login(user)
    return client


def made(**columns: Any) -> RepeatingTask:
    given = {"name": "rights.clean", "crontab": "30 7 * * *", "timezone": "UTC"}
    return RepeatingTask.objects.create(**{**given, **columns})


def filled(**fields: Any) -> dict[str, Any]:
    """A form as a browser sends it."""
    return {
        "name": "rights.clean",
        "args": "[]",
        "kwargs": "{}",
        "crontab": "30 7 * * *",
        "timezone": "UTC",
        "enabled": "on",
        "misfire": "latest",
        **fields,
    }


def errors(response: Any) -> dict[str, list[str]]:
    assert response.status_code == 200, response
    found = response.context["adminform"].form.errors
    return {("" if k == "__all__" else k): list(v) for k, v in found.items()}


def page_of(row: RepeatingTask, verb: str = "change") -> str:
    return f"{URL}{row.pk}/{verb}/"


# What is shown ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lookup",
    [
        "kwargs__regex",
        "kwargs__contains",
        "args__startswith",
        "last_error__contains",
        "pause_reason__contains",
        "name__regex",
        "paused_by__startswith",
        "slots__task",
    ],
)
def test_row_s11_the_list_compares_only_what_it_shows(
    staff: Client, lookup: str
) -> None:
    made(kwargs={"password": "S3cret7"})
    assert staff.get(URL, {lookup: "S3"}).status_code == 400
    assert staff.get(URL, {"enabled__exact": "1", "name": "x"}).status_code == 200


def test_a_search_of_a_hundred_thousand_characters_is_cut(staff: Client) -> None:
    made()
    assert staff.get(URL, {"q": "a" * 100_000}).status_code == 200


def test_arguments_need_a_permission_of_their_own(login: Callable[..., Client]) -> None:
    row = made(args=("/tmp/9",), kwargs={"password": "tell-1"})
    client = login("view_repeatingtask", "change_repeatingtask")
    text = client.get(page_of(row)).content.decode()
    assert "/tmp/9" not in text
    assert "tell-1" not in text
    # The rest can be edited all the same.
    fields = filled(crontab="0 9 * * *", args='["other"]')
    assert client.post(page_of(row), fields).status_code == 302
    row.refresh_from_db()
    assert (row.crontab, row.args) == ("0 9 * * *", ("/tmp/9",))


def test_an_argument_by_position_is_hidden_by_the_name_of_its_parameter(
    login: Callable[..., Client],
) -> None:
    @task("rights.login")
    def log_in(cqt: Any, who: str, password: str) -> None: ...

    row = made(name="rights.login", args=("ann", "tell-1"))
    text = login("view_repeatingtask", "view_task_args").get(page_of(row))
    assert "ann" in text.content.decode()
    assert "tell-1" not in text.content.decode()


def test_runs_that_are_not_there_for_the_reader_are_not_listed(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = made(coalesce=False)
    seen, unseen = run_now(row), run_now(row)
    Task.objects.filter(pk=unseen.pk).update(queue="theirs")
    pages = type(admin.site._registry[Task])
    own = pages.get_queryset
    monkeypatch.setattr(
        pages,
        "get_queryset",
        lambda self, request: own(self, request).exclude(queue="theirs"),
    )
    text = staff.get(page_of(row)).content.decode()
    assert str(seen.pk) in text
    assert str(unseen.pk) not in text


# What may be scheduled ----------------------------------------------------------------


def only_for_kim(name: str, user: Any) -> bool:
    return name == "rights.clean" and user is not None and user.username == "kim"


def test_row_s1_what_only_code_schedules_is_not_offered_and_refused(
    staff: Client,
) -> None:
    assert "rights.by_code" not in staff.get(f"{URL}add/").content.decode()
    refused = errors(staff.post(f"{URL}add/", filled(name="rights.by_code")))
    assert "rights.by_code is not one of" in refused["name"][0]
    # Code does, and nobody turns its schedule into another.
    row = schedule_task(RepeatingTask, "30 7 * * *", by_code)
    assert "rights.by_code (scheduled by code only)" in (
        staff.get(page_of(row)).content.decode()
    )
    refused = errors(staff.post(page_of(row), filled(name="rights.by_code")))
    assert refused["name"] == ["You may not schedule this task."]


def test_row_s1_a_setting_names_what_people_may_schedule(
    staff: Client, settings: Any
) -> None:
    settings.CQ_SCHEDULABLE = ["rights.by_code"]
    assert "name" in errors(staff.post(f"{URL}add/", filled()))
    settings.CQ_SCHEDULABLE = ["rights.clean"]
    assert staff.post(f"{URL}add/", filled()).status_code == 302


def test_row_s1_a_function_tells_by_the_user(
    login: Callable[..., Client], settings: Any
) -> None:
    settings.CQ_SCHEDULABLE = f"{__name__}.only_for_kim"
    client = login(*EDITOR)
    assert client.post(f"{URL}add/", filled()).status_code == 302
    get_user_model().objects.update(username="lee")
    assert "name" in errors(client.post(f"{URL}add/", filled()))


def test_row_s1_a_page_of_the_project_tells(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = type(admin.site._registry[RepeatingTask])
    monkeypatch.setattr(pages, "get_schedulable", lambda self, request: [])
    assert "name" in errors(staff.post(f"{URL}add/", filled()))


# Rows among the arguments -------------------------------------------------------------


def named(pk: int, model: str = "auth.User") -> str:
    return json.dumps([{"$": "model", "v": [model, pk, "default"]}])


@pytest.mark.parametrize(
    "typed",
    [
        named(31),
        named(999_999),
        named(1, "no.Model"),
        '[{"a":[{"$":"tuple","v":' + named(31) + "}]}]",
        '[{"$":"model","v":[]}]',
        '[{"$":"model","v":["auth.User",1,"nodb"]}]',
    ],
)
def test_row_s10_rows_that_the_editor_may_not_see_are_not_looked_up(
    login: Callable[..., Client], typed: str
) -> None:
    get_user_model().objects.create_user("victim", pk=31)
    (text,) = errors(login(*EDITOR).post(f"{URL}add/", filled(args=typed)))["args"]
    assert text.startswith("It names rows of ")
    assert text.endswith(", which you may not see.")


def test_who_may_see_them_may_name_them(login: Callable[..., Client]) -> None:
    get_user_model().objects.create_user("victim", pk=31)
    client = login(*EDITOR, "view_user")
    assert client.post(f"{URL}add/", filled(args=named(31))).status_code == 302


def test_what_code_has_named_may_stay(login: Callable[..., Client]) -> None:
    victim = get_user_model().objects.create_user("victim", pk=31)
    row = schedule_task(RepeatingTask, "30 7 * * *", clean, args=[victim])
    client = login(*EDITOR)
    fields = filled(args=named(31), crontab="0 9 * * *")
    assert client.post(page_of(row), fields).status_code == 302

    @task("rights.tells")
    def tells(cqt: Any, who: Any) -> str:
        return str(who)

    # But not for another task, which might tell of them.
    assert "args" in errors(client.post(page_of(row), {**fields, "name": tells.name}))


# Objects ------------------------------------------------------------------------------


def test_row_s10_buttons_and_bulk_actions_ask_for_each_schedule(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = type(admin.site._registry[RepeatingTask])

    def may(self: Any, request: Any, obj: Any = None) -> bool:
        return obj is None or obj.queue == "mine"

    for action in ("run", "pause"):
        monkeypatch.setattr(pages, f"has_{action}_permission", may)
    mine, theirs = made(queue="mine"), made(queue="theirs")
    for action in ("run", "pause", "resume"):
        assert staff.post(page_of(theirs, action)).status_code == 403
        assert (
            page_of(theirs, action) not in staff.get(page_of(theirs)).content.decode()
        )
    assert not Task.objects.exists()
    chosen = {"_selected_action": [str(mine.pk), str(theirs.pk)]}
    done = staff.post(URL, {"action": "pause_selected", **chosen})
    texts = [str(message) for message in get_messages(done.wsgi_request)]
    assert any("You may not do that" in text for text in texts)
    mine.refresh_from_db()
    theirs.refresh_from_db()
    assert (mine.enabled, theirs.enabled) == (False, True)


# Far dates ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"crontab": "", "interval": "99999999 00:00:00"}, "interval"),
        (
            {"start_after_0": "9999-12-31", "start_after_1": "23:59:59"},
            "start_after",
        ),
        ({"end_after_0": "9999-12-31", "end_after_1": "23:59:59"}, "end_after"),
        (
            {"crontab": "", "at_0": "9999-12-31", "at_1": "23:59:59"},
            "at",
        ),
        ({"queue": "a\x00"}, "queue"),
        ({"result_ttl": "1e300"}, "result_ttl"),
        ({"result_ttl": "inf"}, "result_ttl"),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo"])
def test_what_is_beyond_the_calendar_is_refused_by_its_field(
    staff: Client, settings: Any, fields: dict[str, str], wrong: str, zone: str
) -> None:
    settings.TIME_ZONE = zone
    assert wrong in errors(staff.post(f"{URL}add/", filled(**fields)))
    assert not RepeatingTask.objects.exists()
    preview = staff.get(f"{URL}coming/", filled(**fields))
    assert preview.status_code == 200


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo"])
@pytest.mark.parametrize(
    "given",
    [
        {"until": "9999-12-31T23:59"},
        {"until": "0001-01-01T00:00"},
        {"until": "x\x00"},
        {"reason": "a\x00b"},
    ],
)
def test_a_pause_until_the_end_of_time_is_no_error_of_the_server(
    staff: Client, settings: Any, given: dict[str, str], zone: str
) -> None:
    settings.TIME_ZONE = zone
    row = made()
    assert staff.post(page_of(row, "pause"), given).status_code == 302
    assert staff.get(page_of(row)).status_code == 200
    assert staff.get(URL).status_code == 200
