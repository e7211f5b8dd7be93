"""The names of the package: that they are there, and from when on."""

from __future__ import annotations

import subprocess
import sys

import pytest

import cq_scheduler
from cq.models import schedule_task
from cq_scheduler.declaring import schedule_task as schedule_task_


def test_public_names_are_there() -> None:
    for name in cq_scheduler.__all__:
        assert getattr(cq_scheduler, name)
        assert name in dir(cq_scheduler)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = cq_scheduler.nothing


def test_both_doors_lead_to_the_same_function() -> None:
    assert schedule_task is cq_scheduler.schedule_task is schedule_task_.schedule_task


#: A module of tasks that is imported before the apps are ready, in a program of its own.
EARLY = """
from django.conf import settings

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["django.contrib.contenttypes", "cq", "cq_scheduler"],
    USE_TZ=True,
)

import cq_scheduler

for name in cq_scheduler.__all__:
    getattr(cq_scheduler, name)

from cq import task
from cq_scheduler import repeat
from cq_scheduler.declaring.repeat import declarations
from django.apps import apps

@repeat("0 3 * * *")
@task
def nightly(cqt):
    pass

assert not apps.ready

import django

django.setup()
print([(declaration.key, str(declaration.row())) for declaration in declarations()])
"""


def test_every_name_can_be_imported_before_the_apps_are_ready() -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", EARLY], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == str(
        [("__main__.nightly:", "__main__.nightly (0 3 * * *)")]
    )
