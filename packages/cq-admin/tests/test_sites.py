"""More than one admin site, and none."""

from __future__ import annotations

from importlib import reload
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import path

import cq_admin.admin
from cq.models import Task, Worker
from cq.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db

second = admin.AdminSite(name="backstage")
cq_admin.admin.register(second)


class Urls:
    urlpatterns = (
        path("admin/", admin.site.urls),
        path("backstage/", second.urls),
    )


def test_a_second_site_keeps_to_itself(
    staff: Client, row: Callable[..., Task], settings: Any
) -> None:
    settings.ROOT_URLCONF = Urls
    root = row(Status.FAILURE, name="root")
    child = row(Status.QUEUED, name="child", parent=root, root=root)
    for own, other in (("/admin/", "/backstage/"), ("/backstage/", "/admin/")):
        for page in (
            "cq/task/",
            f"cq/task/{root.pk}/change/",
            f"cq/task/{child.pk}/change/",
            "cq/task/many/retry/",
            "cq/worker/",
            "cq/overview/",
            "cq/queue/",
        ):
            text = staff.get(own + page).content.decode()
            assert f'"{own}cq/' in text
            assert f'"{other}' not in text
    done = staff.post(f"/backstage/cq/task/{root.pk}/retry/")
    assert done["Location"] == f"/backstage/cq/task/{root.pk}/change/"
    done = staff.post("/backstage/cq/task/many/revoke/?status=QUEUED")
    assert done["Location"].startswith("/backstage/cq/task/")


def test_a_second_site_has_its_own_say(row: Callable[..., Task], settings: Any) -> None:
    settings.ROOT_URLCONF = Urls
    failed = row(Status.FAILURE)
    answer = Client().post(f"/backstage/cq/task/{failed.pk}/retry/")
    assert answer["Location"].startswith("/backstage/login/")


@pytest.mark.parametrize("wanted", [True, False])
def test_registration_can_be_left_to_the_project(settings: Any, wanted: bool) -> None:
    settings.CQ_ADMIN_AUTOREGISTER = wanted
    before = admin.site._registry
    admin.site._registry = {}
    try:
        reload(cq_admin.admin)
        assert admin.site.is_registered(Task) is wanted
        assert admin.site.is_registered(Worker) is wanted
    finally:
        admin.site._registry = before
