"""The pytest plugin of cq, loaded by its entry point in every run of pytest.

So nothing here imports Django, or asks anything of a test that does not name a fixture
or the marker: settings may not be there yet, and the project may not be Django's.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .fixtures import MODE, _cq_mode, cq_tasks, cq_worker, run_tasks
from .modes import MARKER, is_worker

if TYPE_CHECKING:
    import pytest

__all__ = ["_cq_mode", "cq_tasks", "cq_worker", "run_tasks"]

FIXTURES = {"cq_tasks", "run_tasks", "cq_worker"}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        'cq(mode): how tasks run in this test: "manual", by run_tasks(); "serial", in '
        '.delay(); "worker", in a real cqworker',
    )


def pytest_itemcollected(item: Any) -> None:
    """Give a test that uses the plugin its mode, and a database."""
    # A list of pytest's own, which parameters of one test share.
    names = getattr(item, "fixturenames", None)
    marker = item.get_closest_marker(MARKER)
    if names is None or (marker is None and FIXTURES.isdisjoint(names)):
        return
    worker = is_worker(item)
    if MODE not in names:
        # Before the test's other fixtures, which may make tasks as well.
        first = [MODE, *(name for name in names if name == "cq_tasks")]
        names[:] = [name for name in names if name != "cq_tasks"]
        place = _place(item, names)
        names[place:place] = first
    if worker and "cq_worker" not in names:
        names.append("cq_worker")
    if not item.get_closest_marker("django_db") and _has_database(item.config):
        item.add_marker(_django_db(transaction=worker))


def _place(item: Any, names: list[str]) -> int:
    """Where the first fixture of the test's own is.

    What is made for a class or more comes before: it may override settings, too, and
    ends later.
    """
    known = item._fixtureinfo.name2fixturedefs
    for place, name in enumerate(names):
        if name in known and known[name][-1].scope == "function":
            return place
    return len(names)


def _has_database(config: pytest.Config) -> bool:
    """Whether pytest-django is there to make one; without, a TestCase does."""
    from django.conf import settings

    configured = settings.configured or os.environ.get("DJANGO_SETTINGS_MODULE")
    return bool(configured) and config.pluginmanager.has_plugin("django")


def _django_db(*, transaction: bool) -> pytest.MarkDecorator:
    import pytest

    from cq.conf import conf

    databases = list(dict.fromkeys(["default", conf.DATABASE]))
    return pytest.mark.django_db(transaction=transaction, databases=databases)
