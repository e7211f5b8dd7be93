"""The verbs of one task: a page that asks, by whom, and what it says would happen."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from asked import questions
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import path, reverse
from django.utils import timezone

import cq_admin.admin
from cq import task
from cq.models import Edge, Task
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db


@task("verbs.pay")
def pay(cqt: Any) -> None: ...


@task("verbs.send", atomic=False)
def send(cqt: Any) -> None: ...


#: A status from which each may be done, and where it leads.
VERBS = {
    "retry": (Status.COMPLETE, Status.QUEUED),
    "revoke": (Status.QUEUED, Status.REVOKED),
    "now": (Status.RETRY, Status.QUEUED),
    "priority": (Status.QUEUED, Status.QUEUED),
}
NEEDED = {
    "retry": "retry_task",
    "revoke": "revoke_task",
    "now": "hasten_task",
    "priority": "hasten_task",
}
GIVEN = {"priority": "7", "reason": "The provider is back."}
PERMISSIONS = (
    "add_task",
    "change_task",
    "delete_task",
    "retry_task",
    "revoke_task",
    "hasten_task",
    "view_task_args",
    "view_task_log",
)


def url(row: Task, page: str) -> str:
    return f"/admin/cq/task/{row.pk}/{page}/"


def text(answer: Any) -> str:
    """What a page says within its content."""
    assert answer.status_code == 200
    found: str = answer.content.decode()
    return found.partition('id="content-start"')[2]


@pytest.fixture
def ripe(row: Callable[..., Task]) -> Callable[..., Task]:
    """Makes a task that a verb can be done to."""

    def make(verb: str, **columns: Any) -> Task:
        before, _ = VERBS[verb]
        if before == Status.RETRY:
            columns.setdefault("run_after", timezone.now() + timedelta(hours=1))
        return row(before, **{"name": "verbs.pay", "attempts": 1, **columns})

    return make


def stored(row: Task) -> dict[str, Any]:
    found: dict[str, Any] = Task.objects.filter(pk=row.pk).values().get()
    return found


# Doors --------------------------------------------------------------------------------


def test_each_has_an_address_by_name(row: Callable[..., Task]) -> None:
    found = row()
    for verb in VERBS:
        assert reverse(f"admin:cq_task_{verb}", args=[found.pk]) == url(found, verb)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete", "options"])
def test_only_a_post_changes_anything(
    staff: Client, ripe: Callable[..., Task], verb: str, method: str
) -> None:
    untouched = ripe(verb)
    before = stored(untouched)

    answer = getattr(staff, method)(url(untouched, verb))

    assert answer.status_code == (200 if method in ("get", "head") else 405)
    assert stored(untouched) == before
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("sees", [True, False])
def test_row_s10_each_asks_for_its_own_permission_and_that_to_see_tasks(
    login: Callable[..., Client],
    ripe: Callable[..., Task],
    verb: str,
    method: str,
    sees: bool,
) -> None:
    client = login()
    user = get_user_model().objects.get(username="kim")
    for codename in ((), *((name,) for name in PERMISSIONS)):
        wanted = (*codename, "view_task") if sees else codename
        permissions = _permissions(*wanted)
        user.user_permissions.set(permissions)
        found = ripe(verb)
        before = stored(found)

        answer = getattr(client, method)(url(found, verb), GIVEN)

        may = sees and codename == (NEEDED[verb],)
        done = {"get": 200, "post": 302}[method]
        assert answer.status_code == (done if may else 403), codename
        assert (stored(found) != before) is (may and method == "post"), codename
        found.delete()


def _permissions(*codenames: str) -> Any:
    from django.contrib.auth.models import Permission

    return Permission.objects.filter(
        content_type__app_label="cq",
        content_type__model="task",
        codename__in=codenames,
    )


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("method", ["get", "post"])
def test_without_a_login_there_is_only_the_login(
    client: Client, ripe: Callable[..., Task], verb: str, method: str
) -> None:
    found = ripe(verb)
    before = stored(found)

    answer = getattr(client, method)(url(found, verb), GIVEN)

    assert answer["Location"].startswith("/admin/login/")
    assert stored(found) == before


@pytest.mark.parametrize("verb", VERBS)
def test_who_is_no_staff_gets_the_login(
    client: Client, ripe: Callable[..., Task], verb: str
) -> None:
    user = get_user_model().objects.create_user("end", password="")
    user.user_permissions.set(_permissions("view_task", NEEDED[verb]))
    client.force_login(user)
    found = ripe(verb)
    before = stored(found)

    for method in (client.get, client.post):
        assert "/login/" in method(url(found, verb), GIVEN)["Location"]
    assert stored(found) == before


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("pk", ["0199a5f0-0000-7000-8000-000000000000", "nonsense"])
def test_a_task_that_is_gone_is_told_only_to_who_may(
    staff: Client, login: Callable[..., Client], verb: str, pk: str
) -> None:
    address = f"/admin/cq/task/{pk}/{verb}/"
    assert staff.get(address).status_code == 404
    assert staff.post(address, GIVEN).status_code == 404
    client = login("view_task")
    assert client.get(address).status_code == 403
    assert client.post(address, GIVEN).status_code == 403


@pytest.mark.parametrize("verb", VERBS)
def test_a_post_needs_its_token_and_the_page_has_it(
    staff: Client, ripe: Callable[..., Task], verb: str
) -> None:
    found = ripe(verb)
    before = stored(found)
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = staff.cookies

    assert strict.post(url(found, verb), GIVEN).status_code == 403
    assert stored(found) == before

    strict.get(url(found, verb))
    token = strict.cookies["csrftoken"].value
    given = {**GIVEN, "csrfmiddlewaretoken": token}
    assert strict.post(url(found, verb), given).status_code == 302
    assert "csrfmiddlewaretoken" in strict.get(url(ripe(verb), verb)).content.decode()


second = admin.AdminSite(name="backstage")
cq_admin.admin.register(second)


class Urls:
    urlpatterns = (
        path("admin/", admin.site.urls),
        path("backstage/", second.urls),
    )


@pytest.mark.parametrize("verb", VERBS)
def test_another_site_keeps_to_itself(
    staff: Client, ripe: Callable[..., Task], settings: Any, verb: str
) -> None:
    settings.ROOT_URLCONF = Urls
    found = ripe(verb)
    address = url(found, verb).replace("/admin/", "/backstage/")

    asked = staff.get(address).content.decode()
    assert '"/admin/' not in asked
    assert f'"/backstage/cq/task/{found.pk}/change/"' in asked
    done = staff.post(address, GIVEN)
    assert done["Location"] == f"/backstage/cq/task/{found.pk}/change/"
    assert Client().get(address)["Location"].startswith("/backstage/login/")


@pytest.fixture
def only_mine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A project's own pages, that let people act on the queue "mine" alone."""
    pages = type(admin.site._registry[Task])
    for permission in ("retry", "revoke", "hasten"):

        def may(self: Any, request: Any, obj: Any = None) -> bool:
            return obj is None or obj.queue == "mine"

        monkeypatch.setattr(pages, f"has_{permission}_permission", may)


@pytest.mark.usefixtures("only_mine")
@pytest.mark.parametrize("verb", VERBS)
def test_row_s10_each_asks_for_the_object(
    staff: Client, ripe: Callable[..., Task], verb: str
) -> None:
    mine, theirs = ripe(verb, queue="mine"), ripe(verb, queue="theirs")

    assert staff.get(url(mine, verb)).status_code == 200
    for method in (staff.get, staff.post):
        assert method(url(theirs, verb), GIVEN).status_code == 403
    assert url(mine, verb) in staff.get(url(mine, "change")).content.decode()
    assert url(theirs, verb) not in staff.get(url(theirs, "change")).content.decode()
    assert staff.post(url(mine, verb), GIVEN).status_code == 302


# What is done -------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
def test_a_reason_is_kept_in_the_history_with_who_gave_it(
    staff: Client, ripe: Callable[..., Task], verb: str
) -> None:
    found = ripe(verb)

    done = staff.post(url(found, verb), GIVEN, follow=True)

    assert stored(found)["status"] == VERBS[verb][1]
    entry = LogEntry.objects.get()
    assert entry.object_id == str(found.pk)
    assert entry.user.get_username() == "staff"
    assert entry.get_change_message().endswith(" The provider is back.")
    assert '<li class="success">' in done.content.decode()
    history = staff.get(url(found, "history")).content.decode()
    assert "The provider is back." in history


def test_a_reason_may_have_a_per_cent_sign_and_a_long_one_is_refused(
    staff: Client, ripe: Callable[..., Task]
) -> None:
    found = ripe("priority")
    staff.post(url(found, "priority"), {"priority": "7", "reason": "100 % (s) %(n)s"})
    message = LogEntry.objects.get().get_change_message()
    assert message == "Priority set to 7. 100 % (s) %(n)s"

    asked = text(staff.post(url(found, "priority"), {**GIVEN, "reason": "x" * 501}))
    assert 'class="errorlist"' in asked
    assert LogEntry.objects.count() == 1


def test_who_revokes_and_why_stands_at_the_task(
    staff: Client, ripe: Callable[..., Task]
) -> None:
    found = ripe("revoke")
    staff.post(url(found, "revoke"), GIVEN)
    assert stored(found)["error"] == "Revoked by staff. The provider is back."


def test_to_run_next_is_to_be_queued_first(
    staff: Client, ripe: Callable[..., Task]
) -> None:
    found = ripe("now")
    staff.post(url(found, "now"))
    after = stored(found)
    assert (after["status"], after["priority"]) == (Status.QUEUED, 100)
    assert after["run_after"] <= timezone.now()


@pytest.mark.parametrize("priority", ["101", "-101", "1.5", "high", ""])
def test_a_priority_that_is_none_is_refused_at_its_field(
    staff: Client, ripe: Callable[..., Task], priority: str
) -> None:
    found = ripe("priority")
    asked = text(staff.post(url(found, "priority"), {**GIVEN, "priority": priority}))
    assert 'class="errorlist"' in asked
    assert "The provider is back." in asked
    assert stored(found)["priority"] == 0


# What a page offers -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "columns", "verbs"),
    [
        (Status.QUEUED, {}, {"revoke", "now", "priority"}),
        # It waits for its time.
        (Status.PENDING, {"later": True}, {"revoke", "now", "priority"}),
        # It waits for another task.
        (Status.PENDING, {}, {"revoke", "priority"}),
        (Status.PENDING, {"later": True, "open_edges": 1}, {"revoke", "priority"}),
        (Status.RETRY, {"later": True}, {"revoke", "now"}),
        (Status.WAITING, {"name": "cq.group"}, {"revoke"}),
        (Status.COMPLETE, {}, {"retry"}),
        (Status.LOST, {}, {"retry"}),
        (Status.SKIPPED, {}, set()),
        (Status.FAILURE, {"name": "cq.group"}, set()),
    ],
)
def test_a_page_offers_what_makes_sense(
    staff: Client,
    row: Callable[..., Task],
    before: str,
    columns: dict[str, Any],
    verbs: set[str],
) -> None:
    if columns.pop("later", False):
        columns["run_after"] = timezone.now() + timedelta(hours=1)
    shown = row(before, **columns)
    page = staff.get(url(shown, "change")).content.decode()
    assert {verb for verb in VERBS if url(shown, verb) in page} == verbs
    # What is asked for all the same says why not, and has nothing to press.
    for verb in VERBS.keys() - verbs:
        asked = text(staff.get(url(shown, verb)))
        assert 'class="errornote"' in asked
        assert "<form" not in asked


def is_done_at_once(client: Client, row: Task) -> bool:
    page = client.get(url(row, "change")).content.decode()
    return f'action="{url(row, "retry")}"' in page


@pytest.mark.parametrize("before", [Status.FAILURE, Status.LOST])
def test_only_what_undid_itself_is_retried_by_one_click(
    staff: Client, row: Callable[..., Task], before: str
) -> None:
    assert is_done_at_once(staff, row(before, name="verbs.pay"))
    # It may have sent something, or nobody here knows.
    assert not is_done_at_once(staff, row(before, name="verbs.send"))
    assert not is_done_at_once(staff, row(before, name="verbs.of_other_code"))
    options = {"atomic": False}
    assert not is_done_at_once(staff, row(before, name="verbs.pay", options=options))
    for ended in (Status.COMPLETE, Status.INCOMPLETE, Status.REVOKED):
        assert not is_done_at_once(staff, row(ended, name="verbs.pay"))
    # A subtask has succeeded, and would be made again.
    parent = row(before, name="verbs.pay")
    row(Status.FAILURE, parent=parent, root=parent)
    assert is_done_at_once(staff, parent)
    row(Status.COMPLETE, parent=parent, root=parent, counted=False)
    assert not is_done_at_once(staff, parent)


def test_one_click_on_an_old_page_does_not_run_what_has_succeeded_since(
    staff: Client, row: Callable[..., Task]
) -> None:
    failed = row(Status.FAILURE, name="verbs.pay", fence=3)
    page = staff.get(url(failed, "change")).content.decode()
    assert '<input type="hidden" name="fence" value="3">' in page
    Task.objects.filter(pk=failed.pk).update(status=Status.COMPLETE, fence=5)

    asked = text(staff.post(url(failed, "retry"), {"fence": "3"}))

    assert "since you looked" in asked
    assert "a second time" in asked
    assert 'name="fence" value="5"' in asked
    assert stored(failed)["status"] == Status.COMPLETE
    assert staff.post(url(failed, "retry"), {"fence": "5"}).status_code == 302


# What is foreseen ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "columns", "said"),
    [
        (Status.COMPLETE, {}, "It has succeeded. All that it does happens a second"),
        (Status.FAILURE, {"name": "verbs.send"}, "It is not atomic: what it did"),
        (Status.LOST, {"name": "verbs.send"}, "It is not atomic: what it did"),
        (
            Status.FAILURE,
            {"name": "verbs.gone"},
            "The site does not know its function.",
        ),
        (Status.INCOMPLETE, {}, "Its own function did not fail"),
    ],
)
def test_a_retry_says_what_may_happen_twice(
    staff: Client,
    row: Callable[..., Task],
    before: str,
    columns: dict[str, Any],
    said: str,
) -> None:
    ended = row(before, **{"name": "verbs.pay", "attempts": 1, **columns})
    asked = text(staff.get(url(ended, "retry")))
    assert f"Careful:</strong> {said}" in asked


def test_a_retry_that_does_no_harm_warns_of_nothing(
    staff: Client, row: Callable[..., Task]
) -> None:
    failed = row(Status.FAILURE, name="verbs.pay", attempts=1)
    asked = text(staff.get(url(failed, "retry")))
    assert "What it changed in this database was undone." in asked
    assert "Careful:" not in asked
    expired = row(Status.EXPIRED, name="verbs.send")
    assert "It has not run before." in text(staff.get(url(expired, "retry")))


def test_a_retry_says_how_many_subtasks_it_had(
    staff: Client, row: Callable[..., Task]
) -> None:
    parent = row(Status.INCOMPLETE, name="verbs.pay", attempts=1)
    for status in (Status.COMPLETE, Status.COMPLETE, Status.FAILURE):
        row(status, parent=parent, root=parent)
    asked = text(staff.get(url(parent, "retry")))
    assert "Its 3 subtasks stay below it as history." in asked
    assert "2 of them have succeeded" in asked


def test_a_revocation_says_how_many_it_reaches(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = row(Status.WAITING, name="verbs.pay", attempts=1)
    middle = row(Status.WAITING, parent=root, root=root)
    for status in (Status.QUEUED, Status.RUNNING, Status.COMPLETE):
        run = {"worker_id": 1} if status == Status.RUNNING else {}
        row(status, parent=middle, root=root, **run)
    Edge.objects.create(task=row(Status.PENDING), depends_on=root)
    asked = text(staff.get(url(root, "revoke")))
    assert "3 open tasks below it are revoked, too." in asked
    assert "What waits for it to succeed does not start." in asked
    assert "This can&#x27;t be taken back." in asked

    monkeypatch.setattr("cq_admin.verb_pages.consequences.MOST_COUNTED", 2)
    assert "2+ open tasks below it" in text(staff.get(url(root, "revoke")))


def test_to_run_next_says_what_it_passes(
    staff: Client, ripe: Callable[..., Task]
) -> None:
    found = ripe("now", queue="mail", priority=5)
    asked = text(staff.get(url(found, "now")))
    assert "It does not wait any more until" in asked
    assert "now it is 5." in asked
    assert "the queue mail" in asked


# What is in the way -------------------------------------------------------------------


@pytest.mark.parametrize("method", ["get", "post"])
def test_the_task_that_has_its_key_is_linked_to(
    staff: Client, row: Callable[..., Task], method: str
) -> None:
    live = row(Status.QUEUED, name="the.live.one", unique_key="k")
    ended = row(Status.FAILURE, name="verbs.pay", options={"unique": "k"})

    asked = text(getattr(staff, method)(url(ended, "retry")))

    assert "belongs to another task that is not done" in asked
    assert f'href="{url(live, "change")}"' in asked
    assert "queued" in asked
    assert "<form" not in asked
    assert stored(ended)["status"] == Status.FAILURE
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("method", ["get", "post"])
def test_the_predecessor_that_failed_is_linked_to(
    staff: Client, row: Callable[..., Task], method: str
) -> None:
    before = row(Status.FAILURE, name="the.first.one")
    ended = row(Status.INCOMPLETE, name="verbs.pay")
    Edge.objects.create(task=ended, depends_on=before, met=False)

    asked = text(getattr(staff, method)(url(ended, "retry")))

    assert "Retry that one, and this one follows it." in asked
    assert f'href="{url(before, "change")}"' in asked
    assert stored(ended)["status"] == Status.INCOMPLETE


def test_the_predecessor_that_it_waits_for_is_linked_to(
    staff: Client, row: Callable[..., Task]
) -> None:
    before = row(Status.RUNNING, name="the.first.one", worker_id=1)
    waits = row(Status.PENDING, name="verbs.pay", open_edges=1)
    Edge.objects.create(task=waits, depends_on=before)
    asked = text(staff.get(url(waits, "now")))
    assert "It waits for another task first." in asked
    assert f'href="{url(before, "change")}"' in asked
    assert "can run next" in text(staff.post(url(waits, "now")))


def test_what_is_in_the_way_is_named_only_to_who_may_see_it(
    staff: Client, row: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = type(admin.site._registry[Task])
    own = pages.get_queryset
    monkeypatch.setattr(
        pages, "get_queryset", lambda s, r: own(s, r).exclude(queue="theirs")
    )
    unseen = {"name": "unseen", "queue": "theirs"}
    live = row(Status.QUEUED, unique_key="k", **unseen)
    before = row(Status.FAILURE, **unseen)
    taken = row(Status.FAILURE, name="verbs.pay", options={"unique": "k"})
    after = row(Status.INCOMPLETE, name="verbs.pay")
    Edge.objects.create(task=after, depends_on=before, met=False)
    for refused in (taken, after):
        for method in (staff.get, staff.post):
            asked = text(method(url(refused, "retry")))
            assert 'class="errornote"' in asked
            for hidden in ("unseen", str(live.pk), str(before.pk)):
                assert hidden not in asked


# What it costs ------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
def test_a_page_costs_the_same_queries_whatever_is_around(
    staff: Client,
    ripe: Callable[..., Task],
    row: Callable[..., Task],
    queries: Callable[..., list[str]],
    reads_a_table: Callable[[str], bool],
    verb: str,
) -> None:
    def load(count: int) -> Task:
        middle = ripe(verb)
        for _ in range(count):
            child = row(Status.QUEUED, parent=middle, root=middle)
            row(Status.COMPLETE, parent=child, root=middle)
            Edge.objects.create(task=middle, depends_on=row(), met=True)
            Edge.objects.create(task=row(Status.PENDING), depends_on=middle)
        return middle

    few, many = load(1), load(30)
    staff.get(url(few, verb))  # what a process asks once, it has asked

    def asked(found: Task) -> list[str]:
        return questions(queries(lambda: staff.get(url(found, verb))))

    cheap, dear = asked(few), asked(many)
    assert len(dear) == len(cheap)
    assert len(dear) <= 12
    assert [sql for sql in dear if reads_a_table(sql)] == []
