"""The page of the named limits: what it shows, who may set them, what is written of that."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import counted
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client

from cq import task
from cq.db.clock import database_now
from cq.limits.operating.changing import set_limit
from cq.models import Lane, Limit, LimitKey, Place

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db

LIMITS = "/admin/cq/limit/"
STRIPE = f"{LIMITS}set/?limit=stripe"
EVIL = "<script>alert(1)</script>"
NOTHING = {"rate": "", "burst": "", "concurrency": "", "reason": ""}


@task("admin_limits.charge", limits=["stripe"])
def charge(cqt: Any) -> None: ...


@pytest.fixture(autouse=True)
def _settings(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    counted.by_heartbeat(monkeypatch)
    counted.at_one_moment(monkeypatch)
    settings.CQ_LIMITS = {
        "stripe": {"rate": "90/s", "burst": 20, "concurrency": 1},
        "customers": {"concurrency": 2, "key": "customer:{customer}"},
    }


def text(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.content.decode()))


def cells(client: Client, name: str) -> list[str]:
    """The cells of the line of a limit."""
    page = client.get(LIMITS).content.decode()
    for line in re.findall(r"(?s)<tr><th scope=\"row\".*?</tr>", page):
        found = [
            re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", cell)).strip()
            for cell in re.findall(r"(?s)<t[hd][^>]*>(.*?)</t[hd]>", line)
        ]
        if found[0].split()[0] == name:
            return found
    raise AssertionError(f"no line of {name}")


def test_it_shows_the_numbers_and_what_they_hold(
    staff: Client, row: Callable[..., Any]
) -> None:
    running = row("RUNNING", name="admin_limits.charge", worker_id=1, fence=1)
    Place.objects.create(key="stripe", number=0, task=running.pk, fence=1, worker=1)
    Lane.objects.create(
        queue="default",
        priority=0,
        lane=running.pk,
        name="admin_limits.charge",
        options={"limits": [["stripe", {"name": "stripe"}]]},
        head=running.pk,
        held_by="stripe",
    )

    assert cells(staff, "stripe") == [
        *("stripe", "90/s", "20", "1", "1", "1", "-", "-", "change")
    ]
    customers = cells(staff, "customers")
    assert customers[0] == "customers customer:{customer}"
    assert customers[1:6] == ["-", "-", "2", "0", "0"]


def test_what_is_set_is_shown_with_who_and_why(staff: Client) -> None:
    set_limit("stripe", {"rate": "5/m"}, reason=EVIL, by="ann")

    found = cells(staff, "stripe")

    assert found[1:4] == ["5/m (settings: 90/s)", "20", "1"]
    assert re.fullmatch(r"since [\d: -]+, by ann, &lt;script&gt;.*", found[7])
    assert EVIL not in staff.get(LIMITS).content.decode()


def test_what_is_closed_and_what_is_gone_is_told(staff: Client, settings: Any) -> None:
    until = database_now("default") + timedelta(hours=1)
    LimitKey.objects.create(key="customer:4", name="customers", closed_until=until)
    assert ":" in cells(staff, "customers")[6]
    set_limit("stripe", {"concurrency": 2})
    settings.CQ_LIMITS = {}
    assert "CQ_LIMITS has it no more" in text(staff, LIMITS)
    Limit.objects.all().delete()
    assert "CQ_LIMITS names no limit." in text(staff, LIMITS)


def test_it_is_set_with_who_wanted_it_and_why(staff: Client) -> None:
    page = staff.get(STRIPE).content.decode()
    assert "csrfmiddlewaretoken" in page
    assert "Empty: as the settings say, 90/s." in page
    assert 'name="reset"' not in page
    assert not Limit.objects.exists()

    given = {**NOTHING, "rate": "50/s", "concurrency": "3", "reason": "they throttle"}
    answer = staff.post(STRIPE, given, follow=True)

    assert answer.redirect_chain == [(LIMITS, 302)]
    assert "It is set. It holds within a second." in answer.content.decode()
    made = Limit.objects.get()
    assert (made.name, made.rate, made.burst, made.concurrency) == (
        *("stripe", "50/s", None, 3),
    )
    assert (made.by, made.reason) == ("staff", "they throttle")
    (entry,) = LogEntry.objects.all()
    assert entry.user.username == "staff"
    assert entry.change_message == "Set to 50/s, 3 at once. they throttle"
    assert entry.object_repr == "stripe"
    again = staff.get(STRIPE).content.decode()
    assert 'value="50/s"' in again
    assert "they throttle" in again


@pytest.mark.parametrize("given", [{"reset": "Reset"}, NOTHING])
def test_it_is_taken_back(staff: Client, given: dict[str, str]) -> None:
    set_limit("stripe", {"rate": "50/s"}, by="ann")
    assert 'name="reset"' in staff.get(STRIPE).content.decode()

    answer = staff.post(STRIPE, given, follow=True)

    assert "It is as the settings say." in answer.content.decode()
    assert not Limit.objects.exists()
    (entry,) = LogEntry.objects.all()
    assert entry.change_message == "Reset to what the settings say."


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rate": "fast"}, "rate is &#x27;fast&#x27;, but must be"),
        ({"burst": "0"}, "greater than or equal to 1"),
        ({"concurrency": "100001"}, "less than or equal to 100000"),
        ({"concurrency": "x"}, "Enter a whole number."),
    ],
)
def test_what_is_no_limit_is_refused_and_nothing_set(
    staff: Client, given: dict[str, str], said: str
) -> None:
    answer = staff.post(STRIPE, {**NOTHING, **given})
    assert answer.status_code == 200
    assert said in answer.content.decode()
    assert not Limit.objects.exists()
    assert not LogEntry.objects.exists()


def test_it_takes_the_permission_and_a_token(login: Callable[..., Client]) -> None:
    set_limit("stripe", {"rate": "1/s"}, reason="as it was")
    given = {**NOTHING, "rate": "2/s"}
    for permissions in (["view_limit"], ["change_limits"], ["view_queue", "view_task"]):
        client = login(*permissions)
        assert client.get(STRIPE).status_code == 403
        assert client.post(STRIPE, given).status_code == 403
        assert client.post(STRIPE, {"reset": "1"}).status_code == 403
        assert client.get(f"{LIMITS}set/?limit=nobodys").status_code == 403
        seen = client.get(LIMITS)
        assert seen.status_code == (200 if "view_limit" in permissions else 403)
        assert "/set/?" not in seen.content.decode()
        User.objects.all().delete()
    assert Client().post(STRIPE, given).status_code == 302
    assert Limit.objects.get().rate == "1/s"
    client = login("view_limit", "change_limits")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get())
    assert strict.post(STRIPE, given).status_code == 403
    assert Limit.objects.get().rate == "1/s"
    assert "/set/?limit=stripe" in client.get(LIMITS).content.decode()
    assert client.post(STRIPE, given).status_code == 302
    assert Limit.objects.get().rate == "2/s"


@pytest.mark.parametrize("query", ["", "?limit=", "?limit=nobodys", "?limit=%00"])
def test_what_names_no_limit_is_not_found(staff: Client, query: str) -> None:
    assert staff.get(f"{LIMITS}set/{query}").status_code == 404
    assert staff.post(f"{LIMITS}set/{query}", NOTHING).status_code == 404
    assert staff.put(STRIPE).status_code == 405
    assert staff.post(LIMITS).status_code == 405


# --- the page of a task that waits ----------------------------------------------------


def waiting(row: Callable[..., Any], limits: list[Any]) -> str:
    found = row("QUEUED", name="admin_limits.charge", options={"limits": limits})
    type(found).objects.filter(pk=found.pk).update(lane=found.pk)
    return f"/admin/cq/task/{found.pk}/change/"


def test_the_page_of_a_queued_task_says_what_holds_it(
    staff: Client, row: Callable[..., Any]
) -> None:
    counted.alive("default")
    now = database_now("default")
    evil = f"{EVIL}'"
    limits = [["stripe", {"name": "stripe"}], ["api", {"rate": "2/d"}]]
    url = waiting(row, [*limits, [evil, {"concurrency": 1}]])
    assert "The limit" not in text(staff, url)
    for number, key in enumerate(("stripe", evil)):
        LimitKey.objects.create(
            key=key, closed_until=now + timedelta(hours=number * 2 - 1)
        )
        Place.objects.create(key=key, number=0, task=row().pk, fence=1, worker=1)
    LimitKey.objects.create(key="api", arrival=now + timedelta(hours=12))

    page = text(staff, url)

    assert "The limit stripe lets 1 run at once, and 1 do." in page
    assert re.search(r"The limit api lets 2/d start, the next in (12|11)\s*h", page)
    assert re.search(r"The limit &lt;script&gt;\S* is closed until", page)
    assert EVIL not in staff.get(url).content.decode()
