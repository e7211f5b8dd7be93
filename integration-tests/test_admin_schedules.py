"""The admin pages of repeating tasks: they need cq-admin and cq-scheduler together."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.utils import timezone

from cq import task
from cq.codec import Encoded
from cq_scheduler import pause
from cq_scheduler.models import RepeatingTask, Slot

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = pytest.mark.django_db

URL = "/admin/cq_scheduler/repeatingtask/"


@task("admin_schedules.clean")
def clean(cqt: Any, folder: str = "", *, days: Any = 7, password: str = "") -> None: ...


@pytest.fixture
def staff(client: Client) -> Client:
    user = get_user_model().objects.create_superuser("staff", password="staff")
    client.force_login(user)
    return client


@pytest.fixture
def login(client: Client) -> Callable[..., Client]:
    def as_staff(*codenames: str) -> Client:
        user = get_user_model().objects.create_user("kim", password="", is_staff=True)
        user.user_permissions.set(
            Permission.objects.filter(
                content_type__app_label__startswith="cq", codename__in=codenames
            )
        )
        client.force_login(user)
        return client

    return as_staff


def filled(**fields: Any) -> dict[str, Any]:
    """A form as a browser sends it."""
    form: dict[str, Any] = {
        "name": "admin_schedules.clean",
        "args": "[]",
        "kwargs": "{}",
        "crontab": "30 7 * * *",
        "timezone": "Europe/Paris",
        "enabled": "on",
        "coalesce": "on",
        "misfire": "latest",
        "queue": "",
        "priority": "",
        "result_ttl": "",
        **fields,
    }
    return {name: value for name, value in form.items() if value is not None}


def errors(response: Any) -> dict[str, list[str]]:
    """What a refused form says, by field; "" is the form as a whole."""
    assert response.status_code == 200, response
    found = response.context["adminform"].form.errors
    return {("" if k == "__all__" else k): list(v) for k, v in found.items()}


def page_of(row: RepeatingTask) -> str:
    return f"{URL}{row.pk}/change/"


def made(**columns: Any) -> RepeatingTask:
    columns.setdefault("name", "admin_schedules.clean")
    columns.setdefault("crontab", "30 7 * * *")
    columns.setdefault("timezone", "UTC")
    return RepeatingTask.objects.create(**columns)


# Made in the form --------------------------------------------------------------------


def test_one_is_made_in_the_form(staff: Client) -> None:
    fields = filled(
        args='["/tmp"]',
        kwargs='{"days": 3}',
        queue="slow",
        priority="5",
        result_ttl="60",
    )
    assert staff.post(f"{URL}add/", fields).status_code == 302
    row = RepeatingTask.objects.get()
    assert (row.name, row.args, row.kwargs) == (
        "admin_schedules.clean",
        ("/tmp",),
        {"days": 3},
    )
    assert (row.queue, row.priority, row.result_ttl) == ("slow", 5, 60)
    assert (row.enabled, row.coalesce, row.misfire) == (True, True, "latest")
    assert row.next_run is not None
    local = row.next_run.astimezone(ZoneInfo("Europe/Paris"))
    assert (local.hour, local.minute) == (7, 30)
    assert LogEntry.objects.get().is_addition()


def test_a_change_of_the_line_moves_the_next_run(staff: Client) -> None:
    row = made()
    staff.post(page_of(row), filled(crontab="0 9 * * *", timezone="UTC", enabled="on"))
    row.refresh_from_db()
    assert row.next_run is not None
    assert row.next_run.hour == 9


@pytest.mark.parametrize("missing", ["args", "kwargs"])
def test_no_arguments_are_none(staff: Client, missing: str) -> None:
    assert staff.post(f"{URL}add/", filled(**{missing: ""})).status_code == 302
    row = RepeatingTask.objects.get()
    assert (row.args, row.kwargs) == ((), {})


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "subprocess.run",
        "builtins.eval",
        "django.core.management.call_command",
        "cq.group",
        "cq.chain",
        "",
    ],
)
def test_row_s1_only_what_is_registered_can_be_chosen(staff: Client, name: str) -> None:
    refused = staff.post(f"{URL}add/", filled(name=name))
    assert "name" in errors(refused)
    assert not RepeatingTask.objects.exists()


def test_row_s1_the_names_are_a_select_of_what_is_registered(staff: Client) -> None:
    text = staff.get(f"{URL}add/").content.decode()
    options = re.findall(r'<option value="([^"]*)"', text)
    assert "admin_schedules.clean" in options
    assert not [name for name in options if name.startswith("cq.")]
    assert re.search(r'<select name="name"', text)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("61 * * * *", ["minute", "61", "0-59"]),
        ("* 24 * * *", ["hour", "24", "0-23"]),
        ("* * 32 * *", ["day of month", "32"]),
        ("* * * 13 *", ["month", "13", "JAN-DEC"]),
        ("* * * * 8", ["day of week", "8", "SUN-SAT"]),
        ("0 0 30 2 *", ["day of month", "never"]),
        ("* * * *", ["4 fields", "five"]),
        ("@often", ["@often", "@daily"]),
        ("", ["required"]),
        ("*" * 100_000, ["at most 256 characters"]),
    ],
)
def test_a_wrong_line_is_refused_by_the_field_that_is_wrong(
    staff: Client, line: str, words: list[str]
) -> None:
    found = errors(staff.post(f"{URL}add/", filled(crontab=line)))
    assert set(found) == {"crontab"}
    for word in words:
        assert word in found["crontab"][0]
    assert not RepeatingTask.objects.exists()


@pytest.mark.parametrize(
    ("column", "text", "words"),
    [
        ("args", "[1,", "This is no JSON"),
        ("args", '{"a": 1}', "a list"),
        ("args", '"text"', "a list"),
        ("args", "[NaN]", "NaN"),
        ("args", "[" * 5000, "This is no JSON"),
        ("args", "[" * 80 + "]" * 80, "args"),
        ("args", '[{"$":"nonsense","v":1}]', "nonsense"),
        ("args", '[{"$":"task","v":0}]', "results of other tasks"),
        ("kwargs", "[]", "an object"),
        ("kwargs", '{"$":"tuple","v":[]}', "an object"),
        ("kwargs", '{"a": <script>alert(1)</script>}', "This is no JSON"),
    ],
)
def test_wrong_arguments_are_refused_where_they_stand(
    staff: Client, column: str, text: str, words: str
) -> None:
    refused = staff.post(f"{URL}add/", filled(**{column: text}))
    found = errors(refused)
    assert words in " ".join(found[column])
    # What was typed is still there to be mended, and nothing of it is markup.
    assert "<script>alert" not in refused.content.decode()
    assert not RepeatingTask.objects.exists()


def test_arguments_that_do_not_fit_the_function_are_refused(staff: Client) -> None:
    found = errors(staff.post(f"{URL}add/", filled(args="[1, 2, 3]")))
    assert "too many positional arguments" in found[""][0]
    found = errors(staff.post(f"{URL}add/", filled(kwargs='{"weeks": 1}')))
    assert "weeks" in found[""][0]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("timezone", "Mars/Phobos"),
        ("timezone", "../../etc/passwd"),
        ("priority", "101"),
        ("result_ttl", "-1"),
        ("misfire", "never"),
    ],
)
def test_other_wrong_values_are_refused(staff: Client, column: str, value: str) -> None:
    assert set(errors(staff.post(f"{URL}add/", filled(**{column: value})))) == {column}


def test_a_queue_that_is_not_listed_is_refused(staff: Client, settings: Any) -> None:
    settings.CQ_QUEUES = ["default"]
    found = errors(staff.post(f"{URL}add/", filled(queue="mail")))
    assert "mail" in found["queue"][0]


# Values that JSON has no word for ----------------------------------------------------


def initial(response: Any) -> dict[str, Any]:
    form = response.context["adminform"].form
    return {name: form[name].value() for name in ("args", "kwargs")}


def test_a_value_with_a_tag_survives_the_form(staff: Client) -> None:
    when = datetime(2026, 1, 2, tzinfo=UTC)
    row = made(args=("Müller \U0001f600",), kwargs={"days": (1, when, b"x")})
    typed = initial(staff.get(page_of(row)))
    assert typed["args"] == '["Müller \U0001f600"]'
    before = RepeatingTask.objects.values_list("args", "kwargs").get()
    assert staff.post(page_of(row), filled(**typed)).status_code == 302
    assert RepeatingTask.objects.values_list("args", "kwargs").get() == before
    row.refresh_from_db()
    assert row.args == ("Müller \U0001f600",)
    assert row.kwargs == {"days": (1, when, b"x")}


def test_a_lone_surrogate_survives_the_form(staff: Client) -> None:
    row = made(args=("\ud800",))
    typed = initial(staff.get(page_of(row)))
    assert staff.post(page_of(row), filled(**typed)).status_code == 302
    row.refresh_from_db()
    assert row.args == ("\ud800",)


# A task that is gone -----------------------------------------------------------------


def stray() -> RepeatingTask:
    row = made()
    RepeatingTask.objects.update(name="gone.task", args=Encoded("[1,"))
    row.refresh_from_db()
    return row


def test_a_schedule_whose_task_is_gone_can_be_seen_but_not_saved(
    staff: Client,
) -> None:
    row = stray()
    text = staff.get(page_of(row)).content.decode()
    assert "gone.task (not registered)" in text
    found = errors(staff.post(page_of(row), filled(name="gone.task")))
    assert "no task named" in found["name"][0]
    assert "gone.task" in staff.get(URL).content.decode()


def test_a_schedule_whose_task_is_gone_can_be_paused_and_deleted(
    staff: Client,
) -> None:
    row = stray()
    chosen = {"_selected_action": str(row.pk)}
    staff.post(URL, {"action": "pause_selected", **chosen})
    assert not RepeatingTask.objects.get().enabled
    assert LogEntry.objects.get().get_change_message() == "Paused."
    staff.post(URL, {"action": "delete_selected", "post": "yes", **chosen})
    assert not RepeatingTask.objects.exists()


def test_paused_and_resumed_it_has_a_next_run(staff: Client) -> None:
    row = made()
    chosen = {"_selected_action": str(row.pk)}
    staff.post(URL, {"action": "pause_selected", **chosen})
    assert RepeatingTask.objects.get().next_run is None
    staff.post(URL, {"action": "resume_selected", **chosen})
    assert RepeatingTask.objects.get().next_run is not None


# What is shown -----------------------------------------------------------------------


def test_row_53_the_list_shows_runs_and_errors(staff: Client) -> None:
    row = made()
    RepeatingTask.objects.update(
        last_run=datetime(2026, 1, 2, 3, 4, tzinfo=UTC), last_error="it <b>broke</b>"
    )
    text = staff.get(URL).content.decode()
    assert "2026-01-02T03:04:00+00:00" in text
    assert row.next_run is not None
    assert row.next_run.isoformat() in text
    assert "it &lt;b&gt;broke&lt;/b&gt;" in text
    assert "it &lt;b&gt;broke" in staff.get(page_of(row)).content.decode()


def test_the_list_says_which_is_overdue_and_why_one_is_paused(staff: Client) -> None:
    row, other = made(), made()
    pause(other, "the <b>disk</b> is full")
    text = staff.get(URL).content.decode()
    assert "the &lt;b&gt;disk&lt;/b&gt; is full" in text
    assert "overdue: " not in text
    RepeatingTask.objects.filter(pk=row.pk).update(
        next_run=timezone.now() - timedelta(minutes=2)
    )
    assert "overdue: does a worker or" in staff.get(URL).content.decode()


def test_the_list_costs_the_same_queries_whatever_its_length(
    staff: Client, django_assert_num_queries: Any
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    made()
    with CaptureQueriesContext(connection) as one:
        staff.get(URL)
    for _ in range(30):
        made()
    with django_assert_num_queries(len(one)):
        staff.get(URL)


def test_deleting_one_does_not_list_a_week_of_slots(staff: Client) -> None:
    row = made()
    now = datetime(2026, 1, 2, tzinfo=UTC)
    Slot.objects.create(schedule=row, slot=now, task_id=_id(), made=now)
    text = staff.get(f"{URL}{row.pk}/delete/").content.decode()
    assert "Slot" not in text
    assert staff.post(f"{URL}{row.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not RepeatingTask.objects.exists()
    assert not Slot.objects.exists()


def _id() -> Any:
    from cq.ids import uuid7

    return uuid7()


# Who may -----------------------------------------------------------------------------


def test_each_does_what_he_may(login: Callable[..., Client]) -> None:
    row = made(args=("/tmp",), kwargs={"password": "tell", "days": 3})
    client = login("view_repeatingtask", "view_task_args")
    page = client.get(page_of(row))
    text = page.content.decode()
    assert page.status_code == 200
    assert "tell" not in text
    assert "/tmp" in text
    assert "admin_schedules.clean" in text
    assert client.post(page_of(row), filled()).status_code == 403
    assert client.get(f"{URL}add/").status_code == 403
    assert client.post(f"{URL}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    client.post(URL, {"action": "pause_selected", "_selected_action": str(row.pk)})
    row.refresh_from_db()
    assert (row.enabled, row.args) == (True, ("/tmp",))


def test_only_with_the_permission_there_is_a_page(
    client: Client, login: Callable[..., Client]
) -> None:
    row = made()
    assert client.get(page_of(row)).status_code == 302
    assert login("delete_repeatingtask").get(URL).status_code == 403


def test_undecodable_arguments_are_shown_to_who_may_only_look(
    login: Callable[..., Client],
) -> None:
    row = stray()
    RepeatingTask.objects.update(kwargs=Encoded(json.dumps({"$": "later", "v": 1})))
    client = login("view_repeatingtask", "view_task_args")
    assert "cannot be read" in client.get(page_of(row)).content.decode()
