"""django-tenants in a project with two schemas: a task runs in that of who called it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from examples import Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.backend("postgres"),
    pytest.mark.django_db(transaction=True),
]

NAME = "cq_tenants"

SETTINGS = """
from pathlib import Path

SECRET_KEY = "only for tests"
USE_TZ = True
DEBUG = False
DATABASES = {{"default": {database!r}}}
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
SHARED_APPS = [
    "django_tenants",
    "customers",
    "django.contrib.contenttypes",
    "cq",
    "cq_channels",
]
TENANT_APPS = ["shop"]
INSTALLED_APPS = [*SHARED_APPS, *TENANT_APPS]
TENANT_MODEL = "customers.Client"
TENANT_DOMAIN_MODEL = "customers.Domain"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CQ_CONTEXT = ["cq.context.tenant"]
TENANT_LIMIT_SET_CALLS = {limited}
SILENCED_SYSTEM_CHECKS = ["cq.W003"]
"""
FILES = {
    "manage.py": """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "project_settings"
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
""",
    "customers/__init__.py": "",
    "customers/models.py": """
from django_tenants.models import DomainMixin, TenantMixin


class Client(TenantMixin):
    auto_create_schema = True


class Domain(DomainMixin):
    pass
""",
    "shop/__init__.py": "",
    "shop/models.py": """
from django.db import models


class Order(models.Model):
    by = models.CharField(max_length=20)
""",
    "shop/tasks.py": """
from django.db import connection

from cq import task

from .models import Order


@task
def order(cqt, by):
    Order.objects.create(by=by)
    return connection.schema_name


@task
def order_below(cqt, by):
    return cqt.subtask(order, by)


@task(atomic=False)
async def order_later(cqt, by):
    await Order.objects.acreate(by=by)
    return "later"


@task
def fails(cqt, by):
    Order.objects.create(by=by)
    raise ValueError("broken")
""",
}
CALLS = """
from customers.models import Client
from django.db import connection
from django_tenants.utils import schema_context
from shop.models import Order
from shop.tasks import fails, order, order_below, order_later

for name in ("red", "blue"):
    Client(schema_name=name).save()
called = []
for _ in range(5):
    for name in ("red", "blue"):
        with schema_context(name):
            called.append((name, name, order.delay(name)))
            called.append((name, name, order_below.delay(name)))
            called.append((name, "later", order_later.delay(name)))
            failed = fails.delay(name)
for name, result, task in called:
    assert task.get(60) == result, (name, result, task.result)
    assert task.context == {"tenant": name}, task.context
assert failed.wait(60).status == "FAILURE"
for name in ("red", "blue"):
    with schema_context(name):
        assert [o.by for o in Order.objects.all()] == [name] * 15
print("all is in its schema")
"""


@pytest.fixture(params=[False, True], ids=["each cursor", "each change"])
def project(tmp_path: Path, request: Any) -> Iterator[Site]:
    """The project, in a database of its own.

    django-tenants sets the path of a session for each cursor, or where it has changed.
    """
    server = connection.settings_dict
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
        cursor.execute(f"CREATE DATABASE {NAME}")
    database = {
        "ENGINE": "django_tenants.postgresql_backend",
        "NAME": NAME,
        **{name: server[name] for name in ("HOST", "PORT", "USER", "PASSWORD")},
    }
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    settings = SETTINGS.format(database=database, limited=request.param)
    (tmp_path / "project_settings.py").write_text(settings)
    made = Site(tmp_path)
    made.manage("makemigrations", "customers", "shop", "--verbosity=0")
    made.manage("migrate_schemas", "--shared", "--verbosity=0")
    yield made
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {NAME} WITH (FORCE)")


def test_each_task_runs_in_the_schema_of_who_called_it(project: Site) -> None:
    with project.worker():
        said = project.manage("shell", "--command", CALLS)

    assert "all is in its schema" in said
    log = (project.folder / "worker.log").read_text()
    assert "changed its session" not in log
    assert "the next task gets a new one" not in log
