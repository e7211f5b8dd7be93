"""Views of the list that people save, share and delete; and who may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import IntegrityError, transaction
from django.test import Client
from hostile_texts import PAYLOADS, inline_code, tags, without_token

from cq import task
from cq.models import SavedView
from cq_admin.saved_views import rows

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db

URL = "/admin/cq/task/"


def save(client: Client, query: str, name: str = "mine", **given: Any) -> Any:
    posted = {"name": name, "query": query, **given}
    return client.post(f"{URL}views/save/", posted, follow=True)


def shown(client: Client, query: str = "") -> dict[str, Any]:
    page = client.get(f"{URL}?{query}")
    assert page.status_code == 200
    return {view.name: view for view in page.context["cq_saved"].views}


def another(*codenames: str) -> Client:
    user = get_user_model().objects.create_user("lee", password="", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


def test_a_view_keeps_what_the_list_is_asked_for(login: Callable[..., Client]) -> None:
    client = login("view_task")
    query = "status=FAILURE,LOST&queue=mail&q=name:charge&tag=order:4711"
    answer = save(client, f"{query}&before=0193f0c2-0000-7000-8000-000000000000")

    assert "The view mine was saved." in answer.content.decode()
    [view] = shown(client).values()
    assert not view.is_current
    assert shown(client, view.query)["mine"].is_current
    assert shown(client, query)["mine"].is_current
    assert (
        f'<a href="?{view.query.replace("&", "&amp;")}"'
        in client.get(URL).content.decode()
    )
    assert "before" not in view.query
    assert LogEntry.objects.get().change_message == view.query


def test_the_same_name_once_more_replaces_it(staff: Client) -> None:
    save(staff, "queue=mail")
    save(staff, "queue=sms")
    assert [(v.name, v.query) for v in SavedView.objects.all()] == [
        ("mine", "queue=sms")
    ]


def test_others_have_only_what_is_shared(login: Callable[..., Client]) -> None:
    client = login("view_task", "share_view")
    save(client, "queue=a", "for me")
    save(client, "queue=b", "for all", shared="on")
    other = another("view_task")

    assert set(shown(client)) == {"for me", "for all"}
    assert list(shown(other)) == ["for all"]
    assert not shown(other)["for all"].deletable


def test_sharing_has_a_permission_of_its_own(login: Callable[..., Client]) -> None:
    client = login("view_task")
    assert save(client, "queue=a", shared="on").status_code == 403
    assert "shared" not in client.get(URL).content.decode()
    assert not SavedView.objects.exists()


def test_one_deletes_one_s_own_and_a_superuser_anybody_s(
    login: Callable[..., Client], staff: Client
) -> None:
    # Both fixtures are one client: whoever came last is logged in.
    client = login("view_task", "share_view")
    save(client, "queue=a", shared="on")
    row = SavedView.objects.get()
    url = f"{URL}views/{row.pk}/delete/"
    other = another("view_task", "share_view", "change_task")

    assert other.post(url).status_code == 404
    assert client.get(url).status_code == 405
    assert SavedView.objects.exists()
    assert client.post(url).status_code == 302
    assert not SavedView.objects.exists()
    assert client.post(url).status_code == 404
    assert client.post(f"{URL}views/{2**80}/delete/").status_code == 404

    save(client, "queue=a")
    client.force_login(get_user_model().objects.get(username="staff"))
    row = SavedView.objects.get()
    assert client.post(f"{URL}views/{row.pk}/delete/").status_code == 302
    assert LogEntry.objects.filter(object_repr="mine").count() == 4


def test_who_may_not_see_the_list_saves_nothing(
    login: Callable[..., Client], client: Client
) -> None:
    anonymous = Client()
    assert anonymous.post(f"{URL}views/save/", {"name": "x"}).status_code == 302
    assert save(login("view_worker", "share_view"), "queue=a").status_code == 403
    careful = Client(enforce_csrf_checks=True)
    careful.cookies = client.cookies
    assert careful.post(f"{URL}views/save/", {"name": "x"}).status_code == 403
    assert client.get(f"{URL}views/save/").status_code == 405
    assert not SavedView.objects.exists()


@pytest.mark.parametrize(
    "query",
    [
        "args__contains=s3cret",
        "nothing=1",
        "status=BROKEN",
        "since=soon",
        "tag=" + "a" * 101,
        "q=status:broken",
        "q=password:s3cret",
        "q=customer.api_token:abc",
        "queue=" + "a" * 2000,
        "queue=a%00",
        # Longer once it is written as an address.
        "queue=" + "é" * 400,
        "queue=%ed%a0%80" * 300,
    ],
)
def test_what_the_list_does_not_understand_is_not_saved(
    staff: Client, query: str
) -> None:
    page = save(staff, query)
    assert page.status_code == 200
    assert 'class="error"' in page.content.decode()
    assert "s3cret" not in page.content.decode()
    assert not SavedView.objects.exists()


def test_half_of_a_pair_is_kept_as_what_every_database_stores(staff: Client) -> None:
    save(staff, "queue=a%ed%a0%80")
    [view] = shown(staff).values()
    assert view.query.startswith("queue=a%EF%BF%BD")
    assert shown(staff, view.query)["mine"].is_current


@task("viewed.charge", redact=("card",))
def charge(cqt: Any, card: str, **given: Any) -> None: ...


def hide_orders(task_name: str, path: tuple[Any, ...], value: Any) -> Any:
    if task_name != "viewed.charge":
        return value
    return "(an order)" if path[0] == "order" or path == ("items", 1, "id") else value


@pytest.mark.parametrize("where", ["card", "customer.card", "Card.last"])
def test_what_a_task_hides_is_not_saved(staff: Client, where: str) -> None:
    page = save(staff, f"q={where}:4111").content.decode()
    assert "which is hidden and is not kept" in page
    assert not SavedView.objects.exists()


def test_what_the_project_s_function_hides_is_not_saved(
    staff: Client, settings: Any
) -> None:
    settings.CQ_REDACT = f"{__name__}.hide_orders"
    for where in ("order", "order.id", "items.1.id", "customer.card"):
        page = save(staff, f"q={where}:4711").content.decode()
        assert "which is hidden and is not kept" in page, where
    assert not SavedView.objects.exists()
    for where in ("items.0.id", "items.7", f"items.{'9' * 50}", "customer.name"):
        save(staff, f"q={where}:4711", where)
    assert SavedView.objects.count() == 4


@pytest.mark.parametrize(
    "query",
    ["//evil.example", "https://evil.example/", "\\evil.example", "/admin/logout/"],
)
def test_nobody_is_sent_elsewhere(staff: Client, query: str) -> None:
    answer = staff.post(f"{URL}views/save/", {"name": "x", "query": query})
    assert answer["Location"] == URL
    # By who has the database.
    SavedView.objects.all().delete()
    owner = str(get_user_model().objects.get(username="staff").pk)
    SavedView.objects.create(name="x", query=query, owner=owner)
    SavedView.objects.create(name="y", query=f"{query}=1", owner=owner)
    found = shown(staff)
    assert found["x"].query == ""
    assert found["y"].query == f"{quote(query, safe='')}=1"
    assert f'href="?{found["y"].query}"' in staff.get(URL).content.decode()


def test_a_user_has_a_hundred_at_most(staff: Client) -> None:
    owner = str(get_user_model().objects.get(username="staff").pk)
    SavedView.objects.bulk_create(
        SavedView(name=f"{n}", query="queue=a", owner=owner)
        for n in range(rows.MOST_VIEWS)
    )
    page = save(staff, "queue=b").content.decode()
    assert "You have 100 views, which is as many as there may be" in page
    save(staff, "queue=b", "7")
    assert SavedView.objects.count() == rows.MOST_VIEWS
    assert SavedView.objects.get(name="7").query == "queue=b"


def test_one_s_own_do_not_vanish_behind_what_others_share(staff: Client) -> None:
    save(staff, "queue=a", "the oldest")
    SavedView.objects.bulk_create(
        SavedView(name=f"{n}", query="queue=b", owner=f"{n // 50}x", shared=True)
        for n in range(3 * rows.MOST_VIEWS)
    )
    found = shown(staff)
    assert "the oldest" in found
    assert len(found) == rows.MOST_VIEWS + 1
    assert "299" in found
    save(staff, "queue=a", "mine and shared", shared="on")
    assert len(shown(staff)) == rows.MOST_VIEWS + 2


def test_a_name_is_one_view_of_its_owner_and_letters_are_told_apart(
    staff: Client,
) -> None:
    owner = str(get_user_model().objects.get(username="staff").pk)
    for name in ("mine", "Mine", "miné"):
        save(staff, "queue=a", name)
    assert SavedView.objects.count() == 3
    SavedView.objects.create(name="mine", query="", owner="another")
    with pytest.raises(IntegrityError), transaction.atomic():
        SavedView.objects.create(name="mine", query="", owner=owner)


def test_they_are_read_by_one_statement(
    staff: Client, queries: Callable[..., list[str]]
) -> None:
    said = queries(lambda: staff.get(URL))
    assert len([sql for sql in said if "cq_views" in sql]) == 1


def test_no_name_and_no_query_becomes_markup(staff: Client) -> None:
    def page(text: str) -> str:
        SavedView.objects.all().delete()
        owner = str(get_user_model().objects.get(username="staff").pk)
        made = {"name": text[:100], "query": f"q={text}&{text}", "shared": True}
        SavedView.objects.create(owner=owner, **made)
        return str(staff.get(URL).content.decode())

    plain = page("plain")
    assert not inline_code(plain)
    assert not without_token(plain)
    for text in PAYLOADS:
        found = page(text)
        assert tags(found) == tags(plain), text
        for sign in "\x1b\u202e\u2028\u2029\u200f\ufeff":
            assert sign not in found, text
