"""The plugin is loaded in every run of pytest, and is not noticed there."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.backend("sqlite")  # the project has a database of its own

LOADED = """
import sys
from importlib.metadata import entry_points
(found,) = entry_points(group="pytest11", name="cq")
plugin = found.load()
assert plugin.cq_tasks and plugin.__name__ == "cq.pytest_plugin"
print([name for name in sys.modules if name.partition(".")[0] in ("django", "asgiref")])
"""


def test_it_is_found_by_its_entry_point_and_imports_no_django() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_project_without_django_does_not_get_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import sys

        def test_it(pytestconfig):
            assert pytestconfig.pluginmanager.has_plugin("cq")
            assert "cq.testing" not in sys.modules
            assert "django" not in sys.modules
    """)
    run = pytester.runpytest_subprocess("-p", "no:django", "-p", "no:cacheprovider")
    run.assert_outcomes(passed=1)


def test_a_test_that_names_nothing_of_it_has_nothing_of_it(
    run: Callable[..., Any],
) -> None:
    done = run("""
def test_it(request, django_db_blocker):
    assert [name for name in request.fixturenames if "cq" in name] == []
    assert request.node.get_closest_marker("django_db") is None
""")
    done.assert_outcomes(passed=1)


def test_the_fixtures_and_the_marker_say_what_they_are(
    run: Callable[..., Any],
) -> None:
    shown = run("", "--fixtures").stdout.str()
    for name in ("cq_tasks", "run_tasks", "cq_worker"):
        assert f"{name} -- " in shown
    assert "_cq_mode" not in shown
    assert "@pytest.mark.cq(mode): how tasks run" in run("", "--markers").stdout.str()


def test_it_can_be_left_out(run: Callable[..., Any]) -> None:
    done = run("def test_it(run_tasks):\n    pass\n", "-p", "no:cq")
    done.stdout.fnmatch_lines(["*fixture 'run_tasks' not found"])
