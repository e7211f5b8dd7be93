"""A log as text: sent while it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db import connections
from django.test import AsyncClient

from cq_admin.log_page import reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from cq.models import Task


@pytest.mark.django_db(transaction=True)
async def test_it_is_sent_some_lines_at_a_time_under_asgi(
    row: Callable[..., Task],
    say: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "BATCH", 2)

    def made() -> tuple[Task, Any]:
        root = row()
        say(root, 5)
        return root, get_user_model().objects.create_superuser("staff")

    root, user = await sync_to_async(made)()
    client = AsyncClient()
    await client.aforce_login(user)
    answer = await client.get(f"/admin/cq/task/{root.pk}/log/?format=txt")
    # A warning is an error here: Django has one for what it would hold as a whole.
    found = [part async for part in answer]  # type: ignore[union-attr]
    await sync_to_async(connections.close_all)()  # those of that thread
    assert [part.count(b"\n") for part in found] == [2, 2, 1]
