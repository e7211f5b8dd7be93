"""One repeating task in the admin: what it says of the runs to come and of those that
were, and what its buttons do.
"""

from __future__ import annotations

import random
import re
import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cron_mangling import BYTES, SECONDS, mangled
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone, translation

from cq import task
from cq.models import Task
from cq.testing import run_tasks
from cq_admin.schedule_pages.preview import shown
from cq_admin.schedule_pages.words import cron_words
from cq_scheduler import pause, repeat
from cq_scheduler.actions import sync
from cq_scheduler.cron import lines
from cq_scheduler.declaring import repeat as declared
from cq_scheduler.models import RepeatingTask

pytestmark = pytest.mark.django_db

URL = "/admin/cq_scheduler/repeatingtask/"
WINTER = datetime(2026, 3, 27, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@task("admin_page.clean")
def clean(cqt: Any, folder: str = "") -> str:
    return folder


@pytest.fixture(autouse=True)
def _by_hand(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False


def login(*codenames: str) -> Client:
    user = get_user_model().objects.create_user("kim", password="", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def staff(client: Client) -> Client:
    user = get_user_model().objects.create_superuser("staff", password="staff")
    client.force_login(user)
    return client


def made(**columns: Any) -> RepeatingTask:
    given = {"name": "admin_page.clean", "timezone": "UTC", **columns}
    if not {"interval", "at"} & set(given):
        given.setdefault("crontab", "30 7 * * *")
    return RepeatingTask.objects.create(**given)


def page_of(row: RepeatingTask, verb: str = "change") -> str:
    return f"{URL}{row.pk}/{verb}/"


def text_of(response: Any) -> str:
    assert response.status_code == 200, response
    return str(response.content.decode())


def runs(html: str) -> list[str]:
    found = re.findall(r'<li class="cq-time">(.*?)</li>', html)
    return [re.sub("<[^>]*>", "", line).strip() for line in found]


# What is to come ----------------------------------------------------------------------


def test_the_next_ten_runs_are_shown_by_the_clock_of_the_zone(staff: Client) -> None:
    row = made(timezone="Asia/Kolkata")
    found = runs(text_of(staff.get(page_of(row))))
    assert len(set(found)) == 10
    for run in found:
        assert re.fullmatch(r"\w{3} \d{4}-\d\d-\d\d 07:30 UTC\+0530", run)


@pytest.mark.parametrize(
    ("line", "after", "second"),
    [
        (
            "30 2 * * *",
            WINTER,
            "Sun 2026-03-29 03:00 UTC+0200 clock set forward by 1\xa0h before; "
            "02:30 does not exist that day",
        ),
        # Also where the run before had the same offset, a year ago.
        (
            "30 2 26-29 3 *",
            datetime(2027, 3, 28, 12, tzinfo=UTC),
            "Sun 2028-03-26 03:00 UTC+0200 02:30 does not exist that day",
        ),
        (
            "30 2 * * *",
            datetime(2026, 10, 23, 12, tzinfo=UTC),
            "Sun 2026-10-25 02:30 UTC+0200 "
            "the first of two times that the clock shows this",
        ),
        (
            "*/30 2 25 10 *",
            datetime(2026, 10, 25, 0, 15, tzinfo=UTC),
            "Sun 2026-10-25 02:00 UTC+0100 clock set back by 1\xa0h before; "
            "the second time that the clock shows this",
        ),
    ],
)
def test_what_daylight_saving_changes_is_marked(
    line: str, after: datetime, second: str
) -> None:
    html = shown(made(crontab=line, timezone="Europe/Paris"), after)
    assert runs(html)[1] == second


def test_an_interval_and_a_moment_are_said_in_words() -> None:
    html = shown(made(interval=timedelta(minutes=90), anchor=WINTER), WINTER)
    assert "Every 1\xa0h 30\xa0min" in html
    assert len(runs(html)) == 10
    html = shown(made(at=WINTER + timedelta(hours=1)), WINTER)
    assert "Once, at" in html
    assert len(runs(html)) == 1


def test_an_alias_and_a_jitter_are_said_in_words() -> None:
    html = shown(made(crontab="@Daily", jitter=60), WINTER)
    assert "At 00:00" in html
    assert "Up to 1\xa0min late" in html


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "At 07:30, Monday through Friday, only in January"),
        ("en-gb", "At 07:30, Monday through Friday, only in January"),
        ("de", "Um 07:30, Montag bis Freitag, nur im Januar"),
        ("fr", "À 07:30, de lundi à vendredi, uniquement en janvier"),
        ("xx", "At 07:30, Monday through Friday, only in January"),
    ],
)
def test_a_line_is_said_in_the_readers_language(language: str, said: str) -> None:
    with translation.override(language if language != "xx" else "en"):
        assert cron_words("30 7 * 1 MON-FRI", language) == said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 9 */2 * FRI", "The days of the month and of the week both have to match."),
        ("0 9 13 * FRI", "A match of one is enough."),
    ],
)
def test_what_the_two_fields_of_the_day_mean_together_is_said(
    line: str, said: str
) -> None:
    html = shown(made(crontab=line), WINTER)
    assert "At 09:00, only on Friday" in html
    assert said in html
    assert "A day" not in shown(made(crontab="0 9 13 * *"), WINTER)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 9 10,L * *", ["on day 10 of the month", "on the last day of the month"]),
        ("0 9 1 * FRI#2,TUE#5", ["the second Friday", "the fifth Tuesday"]),
        ("0 9 */31,1,15 * FRI", ["on day 1 and 15", "only on Friday", "both have to"]),
        ("0 9 * 5/12,*/4 *", ["only in January, May, and September"]),
        ("0 9 1-31 * FRI", ["At 09:00"]),
    ],
)
def test_a_line_that_the_library_does_not_know_is_said_in_parts(
    line: str, said: list[str]
) -> None:
    html = shown(made(crontab=line), WINTER)
    words = re.findall(r'<p class="cq-words">(.*?)</p>', html)
    assert all(any(text in sentence for sentence in words) for text in said), words


def test_row_s15_no_line_costs_much_to_be_shown() -> None:
    """Read, said in words and with its next ten runs; or refused."""
    rng = random.Random("shown")
    languages = ("en", "de", "fr", "zh-hans", "ar")
    slowest, largest, said = (0.0, ""), (0, ""), 0
    for number in range(2000):
        row = RepeatingTask(crontab=mangled(rng), timezone="Europe/Paris")
        with translation.override(rng.choice(languages)):
            slowest = max(slowest, (seconds(row), row.crontab))
            if number % 20 == 0:
                largest = max(largest, (memory(row), row.crontab))
            words = re.findall(r'<p class="cq-words">(.*?)</p>', shown(row, WINTER))
        assert row.crontab not in words
        said += bool(words)
    assert said > 500
    assert slowest[0] < SECONDS, slowest
    assert 0 < largest[0] < BYTES, largest


def seconds(row: RepeatingTask) -> float:
    """What it costs, of CPU; a busy machine can add to that, and never takes from it."""
    least = 1.0
    for _ in range(10):
        lines._parse.cache_clear()
        cron_words.cache_clear()
        started = time.thread_time()
        shown(row, WINTER)
        least = min(least, time.thread_time() - started)
        if least < SECONDS:
            break
    return least


def memory(row: RepeatingTask) -> int:
    lines._parse.cache_clear()
    cron_words.cache_clear()
    tracemalloc.start()
    try:
        shown(row, WINTER)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# While it is typed --------------------------------------------------------------------


def test_what_is_typed_is_shown_before_it_is_saved(staff: Client) -> None:
    add = text_of(staff.get(f"{URL}add/"))
    assert f'data-url="{URL}coming/"' in add
    typed = {"crontab": "*/10 * * * *", "timezone": "Europe/Paris"}
    html = text_of(staff.get(f"{URL}coming/", typed))
    assert "Every 10 minutes" in html
    assert len(runs(html)) == 10
    html = text_of(staff.get(f"{URL}coming/", {"interval": "01:30:00", **typed}))
    assert "leave one of them empty" in html
    assert not RepeatingTask.objects.exists()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"crontab": "61 * * * *"}, "minute"),
        ({"crontab": "<script>alert(1)</script>"}, "crontab"),
        ({"crontab": "*/1" + ",*/1" * 200}, "256"),
        ({"crontab": "@daily", "timezone": "Mars/Phobos"}, "Mars/Phobos"),
        ({"crontab": "@daily", "jitter": "-1"}, "0"),
        ({"interval": "-1"}, "interval"),
        ({"at_0": "2020-01-01", "at_1": "07:00"}, "no run to come"),
        ({}, "required"),
    ],
)
def test_what_is_wrong_is_said_while_it_is_typed(
    staff: Client, typed: dict[str, str], said: str
) -> None:
    html = text_of(staff.get(f"{URL}coming/", {"timezone": "UTC", **typed}))
    assert said in html
    assert runs(html) == []
    assert "<script>" not in html


def test_who_may_not_edit_asks_for_nothing() -> None:
    client = login("view_repeatingtask")
    assert client.get(f"{URL}coming/", {"crontab": "@daily"}).status_code == 403
    assert Client().get(f"{URL}coming/").status_code == 302


# Run, pause, resume -------------------------------------------------------------------


def test_it_is_run_by_hand(staff: Client) -> None:
    row = made(args=("/tmp",))
    before = RepeatingTask.objects.get().next_run
    text = text_of(staff.post(page_of(row, "run"), follow=True))
    made_task = Task.objects.get()
    assert (made_task.name, made_task.args) == ("admin_page.clean", ("/tmp",))
    assert f"Task {made_task.pk} was made." in text
    assert RepeatingTask.objects.get().next_run == before
    assert LogEntry.objects.get().get_change_message() == "Run by hand."
    # It coalesces.
    text = text_of(staff.post(page_of(row, "run"), follow=True))
    assert "no other was made" in text
    assert Task.objects.count() == 1


def test_one_that_cannot_run_says_why(staff: Client) -> None:
    row = made()
    RepeatingTask.objects.update(name="gone.<b>task")
    text = text_of(staff.post(page_of(row, "run"), follow=True))
    assert "gone.&lt;b&gt;task" in text
    assert not Task.objects.exists()
    assert not LogEntry.objects.exists()


def test_it_is_paused_with_a_reason_and_resumed(staff: Client) -> None:
    row = made()
    assert page_of(row, "resume") not in text_of(staff.get(page_of(row)))
    reason = {"reason": "the <b>disk</b> is full"}
    text = text_of(staff.post(page_of(row, "pause"), reason, follow=True))
    row.refresh_from_db()
    assert (row.enabled, row.next_run, row.paused_by) == (False, None, "staff")
    assert row.pause_reason == reason["reason"]
    assert "the &lt;b&gt;disk&lt;/b&gt; is full" in text
    assert page_of(row, "pause") not in text
    staff.post(page_of(row, "resume"))
    row.refresh_from_db()
    assert (row.enabled, row.paused_at, row.pause_reason) == (True, None, "")
    assert row.next_run is not None
    logged = [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")]
    assert logged == ["Paused.", "Resumed."]


def test_it_is_paused_until_a_moment_by_the_readers_clock(staff: Client) -> None:
    row = made()
    with timezone.override("Asia/Tokyo"):
        client_said = staff.post(page_of(row, "pause"), {"until": "2126-01-31T08:00"})
    assert client_said.status_code == 302
    row.refresh_from_db()
    assert row.paused_until == datetime(2126, 1, 30, 23, tzinfo=UTC)
    assert "until <time" in text_of(staff.get(page_of(row)))


@pytest.mark.parametrize(
    ("until", "said"),
    [
        ("2020-01-01T00:00", "is over"),
        ("soon", "This is no date with a time: soon"),
        ("2126-02-31T08:00", "This is no date with a time: 2126-02-31T08:00"),
    ],
)
def test_an_end_that_cannot_be_pauses_nothing(
    staff: Client, until: str, said: str
) -> None:
    row = made()
    text = text_of(staff.post(page_of(row, "pause"), {"until": until}, follow=True))
    assert said in text
    row.refresh_from_db()
    assert row.enabled
    assert not LogEntry.objects.exists()


def test_what_it_missed_and_left_out_is_on_its_page(staff: Client) -> None:
    row = made()
    text = text_of(staff.get(page_of(row)))
    assert "nobody was there" not in text
    assert "a run was not done" not in text
    RepeatingTask.objects.update(
        missed_from=WINTER, missed_until=WINTER + HOUR, last_coalesced=WINTER + 2 * HOUR
    )
    with timezone.override("UTC"):
        text = re.sub("<[^>]*>", "", text_of(staff.get(page_of(row))))
    assert "2026-03-27 12:00:00 to 2026-03-27 13:00:00, when nobody was there" in text
    assert "2026-03-27 14:00:00, since a run was not done" in text


def test_each_button_has_its_permission_and_is_a_post() -> None:
    row = made()
    client = login("view_repeatingtask", "run_repeatingtask")
    text = text_of(client.get(page_of(row)))
    assert page_of(row, "run") in text
    assert page_of(row, "pause") not in text
    assert client.post(page_of(row, "pause")).status_code == 403
    assert client.get(page_of(row, "run")).status_code == 405
    assert client.post(f"{URL}99/run/").status_code == 404
    assert not Task.objects.exists()
    assert client.post(page_of(row, "run")).status_code == 302
    assert Task.objects.count() == 1


def test_who_may_not_look_runs_nothing() -> None:
    row = made()
    client = login("run_repeatingtask", "pause_repeatingtask")
    assert client.post(page_of(row, "run")).status_code == 403
    assert client.post(f"{URL}99/run/").status_code == 403
    assert not Task.objects.exists()


def test_what_code_declares_is_only_paused_here(staff: Client) -> None:
    row = made(key="admin_page.clean")
    text = text_of(staff.get(page_of(row)))
    assert 'name="crontab"' not in text
    assert "30 7 * * *" in text
    assert staff.post(page_of(row), {"crontab": "@daily"}).status_code == 403
    staff.post(page_of(row, "pause"), {"reason": "holidays"})
    row.refresh_from_db()
    assert (row.crontab, row.pause_reason) == ("30 7 * * *", "holidays")


def test_what_code_declares_is_not_deleted_here_until_it_is_gone_from_the_code(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(declared, "_declared", {})
    repeat("30 7 * * *")(clean)
    sync.sync("default")
    row, other = RepeatingTask.objects.get(), made(crontab="@daily")
    delete = {"action": "delete_selected", "_selected_action": [row.pk, other.pk]}
    assert page_of(row, "delete") not in text_of(staff.get(page_of(row)))
    assert staff.post(page_of(row, "delete"), {"post": "yes"}).status_code == 403
    assert "Cannot delete" in text_of(staff.post(URL, {**delete, "post": "yes"}))
    assert RepeatingTask.objects.count() == 2

    declared._declared.clear()
    assert staff.post(URL, {**delete, "post": "yes"}).status_code == 302
    assert not RepeatingTask.objects.exists()


def test_the_reason_of_a_pause_is_on_its_page() -> None:
    row = made()
    pause(row, reason="for good", by="lee")
    text = text_of(login("view_repeatingtask").get(page_of(row)))
    assert "lee" in text
    assert "for good" in text


# What was -----------------------------------------------------------------------------


def test_its_runs_are_shown_with_status_and_duration(staff: Client) -> None:
    row = made(coalesce=False)
    assert "None is kept." in text_of(staff.get(page_of(row)))
    staff.post(page_of(row, "run"))
    run_tasks()
    staff.post(page_of(row, "run"))
    done, waiting = Task.objects.order_by("pk")
    text = text_of(staff.get(page_of(row)))
    assert text.index(str(waiting.pk)) < text.index(f"/admin/cq/task/{done.pk}/change/")
    assert "cq-state-good" in text
    assert "\xa0ms" in text


def test_who_may_not_see_tasks_gets_no_links() -> None:
    row = made()
    login_ = login("view_repeatingtask", "run_repeatingtask")
    login_.post(page_of(row, "run"))
    text = text_of(login_.get(page_of(row)))
    assert str(Task.objects.get().pk) in text
    assert "/admin/cq/task/" not in text


def test_its_page_costs_the_same_queries_whatever_it_has_made(
    staff: Client, django_assert_max_num_queries: Any
) -> None:
    row = made(coalesce=False)
    for _ in range(30):
        staff.post(page_of(row, "run"))
    with django_assert_max_num_queries(8):
        text = text_of(staff.get(page_of(row)))
    assert "The last 20." in text
