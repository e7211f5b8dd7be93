"""A child that a task forks, and that leaves the task's function: it decides nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from cq.models import Task

pytestmark = [
    pytest.mark.django_db(transaction=True),
]

#: In a process of its own: pytest's threads would be forked with it.
SCRIPT = """
import json, os, sys, warnings
warnings.simplefilter("ignore")  # of forking beside threads
import django
django.setup()
from django.conf import settings
from django.core.management import call_command
from django.contrib.auth.models import Group
from cq import task

def forks(how):
    Group.objects.create(name=f"before {how}")
    child = os.fork()
    if not child:
        if how == "raises":
            raise ValueError("of the child")
        if how == "exits":
            sys.exit(5)
        return "the child"
    # It waits for its child: which used to hang for ever.
    _, status = os.waitpid(child, 0)
    Group.objects.create(name=f"after {how}")
    return os.waitstatus_to_exitcode(status)

@task
def sync(cqt, how):
    return forks(how)

@task(atomic=False)
def beside(cqt, how):
    return forks(how)

@task
async def coroutine(cqt, how):
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    return forks(how)

way = sys.argv[1]
settings.CQ_RUN_INLINE = way == "inline"
for call in (sync, beside, coroutine):
    Group.objects.all().delete()
    found = {}
    for how in ("returns", "raises", "exits"):
        if way == "serial":
            found[how] = call(how)
        else:
            handle = call.delay(how)
            if way == "run":
                call_command("cq", "run", stdout=open(os.devnull, "w"))
            found[how] = handle.get(20)
    print(json.dumps([found, Group.objects.count()]), flush=True)
"""


@pytest.mark.parametrize("way", ["inline", "run", "serial"])
def test_a_child_that_leaves_the_function_is_ended_and_its_parent_goes_on(
    way: str,
) -> None:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "settings",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, way],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # A line for each function: no child got as far.
    lines = done.stdout.splitlines()
    ended = {"returns": 0, "raises": 1, "exits": 5}
    assert [json.loads(line) for line in lines] == [[ended, 6]] * 3
    told = [row for row in done.stderr.splitlines() if row.startswith("cq: process")]
    assert len(told) == 9
    for returned, raised, _ in zip(*[iter(told)] * 3, strict=True):
        assert "returned from the task's function" in returned
        assert "raised ValueError from the task's function" in raised
    if way != "serial":
        assert set(Task.objects.values_list("status", "attempts")) == {("COMPLETE", 1)}
