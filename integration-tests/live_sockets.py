"""Sockets and rows for tests of what is live."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db.models import F
from django.test import Client
from django.utils import timezone

from cq.conf import conf
from cq.ids import uuid7
from cq.models import Task, TaskLog
from cq.status import FINAL, Status

if TYPE_CHECKING:
    from collections.abc import Callable

ALL = ("view_task", "view_task_log")


def made(status: str = Status.RUNNING, **columns: Any) -> Task:
    pk = uuid7()
    now = timezone.now()
    columns = {"root_id": pk, "name": "live.sample", "submitted": now, **columns}
    if status in FINAL:
        columns.setdefault("finished", now)
    if status == Status.RUNNING:
        columns = {"worker_id": 5, "started": now, "attempts": 1, **columns}
    return Task.objects.using(conf.DATABASE).create(pk=pk, status=status, **columns)


def say(task: Task, *messages: str, root: Task | None = None) -> None:
    top = root or task
    Task.objects.filter(pk=top.pk).update(log_lines=F("log_lines") + len(messages))
    last = Task.objects.values_list("log_lines", flat=True).get(pk=top.pk)
    TaskLog.objects.bulk_create(
        TaskLog(
            root=top,
            task=task,
            number=number,
            level=logging.INFO,
            time=timezone.now(),
            message=message,
        )
        for number, message in enumerate(messages, last - len(messages) + 1)
    )


def member(name: str, *codenames: str, **flags: Any) -> Any:
    flags = {"is_staff": True, **flags}
    user = get_user_model().objects.create_user(name, password="", **flags)
    found = Permission.objects.filter(
        content_type__app_label="cq", codename__in=codenames
    )
    assert found.count() == len(codenames)
    user.user_permissions.set(found)
    return user


def cookie_of(user: Any) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value


def socket(
    application: Any,
    cookie: str = "",
    *,
    origin: str = "http://testserver",
    path: str = "/ws/cq/",
) -> WebsocketCommunicator:
    headers = [(b"host", b"testserver"), (b"origin", origin.encode())]
    if cookie:
        headers.append((b"cookie", f"sessionid={cookie}".encode()))
    return WebsocketCommunicator(application, path, headers=headers)


async def opened(application: Any, cookie: str = "", **how: Any) -> Any:
    made = socket(application, cookie, **how)
    connected, _ = await made.connect(timeout=5)
    assert connected
    return made


async def watch(where: Any, task: Any, **more: Any) -> None:
    await where.send_json_to({"watch": str(getattr(task, "pk", task)), **more})


async def heard(where: Any) -> Any:
    message = await where.receive_output(timeout=5)
    assert message["type"] == "websocket.send", message
    return json.loads(message["text"])


async def closed(where: Any) -> int:
    """The code that it is closed with; before that it may be told of states."""
    while True:
        message = await where.receive_output(timeout=5)
        if message["type"] == "websocket.close":
            return int(message["code"])


def in_thread(function: Callable[..., Any]) -> Callable[..., Any]:
    return sync_to_async(function)
