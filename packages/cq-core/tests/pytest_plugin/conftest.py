"""A small project whose tests run in a pytest of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

SETTINGS = """
SECRET_KEY = "only for tests"
USE_TZ = True
INSTALLED_APPS = ["cq", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
"""

TASKS = """
from cq import task


@task
def greet(cqt, name, polite=False):
    return f"Hello, {name}"


@task
def greet_all(cqt, names):
    for name in names:
        greet.delay(name)


@task
def fails(cqt):
    raise ValueError("no")
"""

HEAD = """
import pytest
from django.test import TestCase, TransactionTestCase, override_settings
from shop.tasks import fails, greet, greet_all

"""

#: Without the plugins that these tests have nothing to do with.
INI = """
[pytest]
pythonpath = .
addopts = --strict-markers -p no:cacheprovider -p no:asyncio -p no:hypothesispytest
  -p no:time_machine -p no:valkey -p no:xdist -p no:xdist.looponfail
filterwarnings = error
django_find_project = false
"""


@pytest.fixture
def run(pytester: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    """Run a module of tests in the project: its text, and flags."""
    pytester.makepyfile(
        **{
            "own_settings": SETTINGS,
            "shop/__init__": "",
            "shop/tasks": TASKS,
        }
    )
    pytester.makeini(INI)

    def run_it(text: str, *flags: str) -> pytest.RunResult:
        pytester.makepyfile(test_it=HEAD + text)
        # Not by the environment, which has the settings of this suite.
        return pytester.runpytest_subprocess("--ds=own_settings", *flags)

    return run_it
