"""The pages of the tasks, as staff see them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.urls import reverse

import cq_admin
from cq import task
from cq.models import Task

pytestmark = pytest.mark.django_db(transaction=True)


@task("admin_pages.fails")
def fails(cqt: Any, word: str) -> None:
    cqt.log("about to fail")
    raise ValueError(word)


@pytest.fixture(autouse=True)
def inline(settings: Any) -> None:
    settings.CQ_RUN_INLINE = True


@pytest.fixture
def staff(client: Any) -> Any:
    user = get_user_model().objects.create_superuser("staff", password="staff")
    client.force_login(user)
    return client


def test_the_list_shows_a_task_with_its_status(staff: Any) -> None:
    fails.delay("broken")
    page = staff.get(reverse("admin:cq_task_changelist"))
    assert page.status_code == 200
    assert b"admin_pages.fails" in page.content


def test_a_task_shows_its_error_and_its_log_escaped(staff: Any) -> None:
    row = fails.delay("<script>alert(1)</script>")
    page = staff.get(reverse("admin:cq_task_change", args=[row.pk]))
    text = page.content.decode()
    assert page.status_code == 200
    assert "about to fail" in text
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_nobody_without_a_login_sees_anything(client: Any) -> None:
    row = fails.delay("broken")
    for url in (
        reverse("admin:cq_task_changelist"),
        reverse("admin:cq_task_change", args=[row.pk]),
    ):
        assert client.get(url).status_code == 302
    assert Task.objects.count() == 1


def test_each_colour_has_one_where_the_admin_has_none() -> None:
    folder = Path(cq_admin.__file__).parent / "static" / "cq_admin"
    style = (folder / "cq.css").read_text()
    assert re.findall(r"var\((--[\w-]+)\s*\)", style) == []
    assert style.count("var(") > 20
