"""How tasks run in a test: by its marker, by its fixtures, or by the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.backend("sqlite")  # the project has a database of its own


def test_without_a_marker_the_settings_hold(run: Callable[..., Any]) -> None:
    done = run("""
@pytest.mark.django_db(transaction=True)
def test_what_is_committed_is_run(cq_tasks):
    greet.delay("you")
    assert [t.status for t in cq_tasks] == ["COMPLETE"]

def test_those_of_the_test(cq_tasks, settings):
    settings.CQ_SERIAL = True
    greet.delay("you")
    assert [t.status for t in cq_tasks] == ["COMPLETE"]
""")
    done.assert_outcomes(passed=2)


def test_manual_holds_back_what_the_settings_would_run(
    run: Callable[..., Any], pytester: pytest.Pytester
) -> None:
    settings = pytester.path / "own_settings.py"
    settings.write_text(settings.read_text() + "\nCQ_SERIAL = True\n")
    done = run("""
@pytest.mark.cq("manual")
def test_it(cq_tasks):
    greet.delay("you")
    assert [t.status for t in cq_tasks] == ["QUEUED"]

def test_by_its_fixture(run_tasks):
    assert greet.delay("you").status == "QUEUED"
    assert len(run_tasks()) == 1

def test_the_others(cq_tasks):
    greet.delay("you")
    assert [t.status for t in cq_tasks] == ["COMPLETE"]
""")
    done.assert_outcomes(passed=3)


def test_serial_runs_at_once(run: Callable[..., Any]) -> None:
    done = run("""
@pytest.fixture
def greeted(db):
    return greet.delay("fixture")

@pytest.mark.cq("serial")
def test_it(greeted, cq_tasks):
    assert greeted.result == "Hello, fixture"
    assert greet_all.delay(["a"]).status == "COMPLETE"
    assert [t.status for t in cq_tasks] == ["COMPLETE"] * 3

def test_the_next(cq_tasks):
    assert greet.delay("you").status == "QUEUED"
""")
    done.assert_outcomes(passed=2)


def test_a_marker_may_stand_on_a_class_a_module_or_a_parameter(
    run: Callable[..., Any],
) -> None:
    done = run("""
pytestmark = pytest.mark.cq("serial")

class TestIt:
    def test_it(self):
        assert greet.delay("you").status == "COMPLETE"

@pytest.mark.cq("manual")
class Of(TestCase):
    def test_it(self):
        assert greet.delay("you").status == "QUEUED"

@pytest.mark.parametrize("status", [
    "COMPLETE", pytest.param("QUEUED", marks=pytest.mark.cq("manual")), "COMPLETE",
])
def test_it(status):
    assert greet.delay("you").status == status
""")
    done.assert_outcomes(passed=5)


def test_settings_of_a_class_outlive_those_of_a_test(run: Callable[..., Any]) -> None:
    # Both override settings, and have to end in the order in which they began.
    done = run("""
from django.conf import settings

@override_settings(CQ_LEASE=99)
class Of(TestCase):
    @pytest.mark.cq("serial")
    def test_1(self):
        assert greet.delay("you").status == "COMPLETE"
        assert settings.CQ_LEASE == 99

    def test_2(self):
        assert greet.delay("you").status == "QUEUED"
        assert settings.CQ_LEASE == 99

def test_3():
    assert not hasattr(settings, "CQ_LEASE")
    assert not hasattr(settings, "CQ_SERIAL")
""")
    done.assert_outcomes(passed=3)


SENSELESS = [
    "",
    "'eager'",
    "'manual', 'serial'",
    "mode='manual'",
    "'manual', limit=3",
    "['manual']",
    "None",
]


def test_a_marker_that_makes_no_sense_is_refused(run: Callable[..., Any]) -> None:
    tests = [
        f"@pytest.mark.cq({given})\ndef test_{n}():\n    pass\n"
        for n, given in enumerate(SENSELESS)
    ]
    done = run("\n\n".join(tests) + "\n\ndef test_other():\n    pass\n")
    done.assert_outcomes(errors=len(SENSELESS), passed=1)
    said = [line for line in done.outlines if line.startswith("@pytest.mark.cq(")]
    wanted = ' has to be given one mode: "manual", "serial" or "worker"'
    assert said == [f"@pytest.mark.cq({given}){wanted}" for given in SENSELESS]


def test_a_worker_runs_tasks_alone(run: Callable[..., Any]) -> None:
    done = run("""
@pytest.mark.cq("serial")
def test_marked(cq_worker):
    pass

@pytest.mark.cq("worker")
def test_run_tasks(run_tasks):
    pass
""")
    done.assert_outcomes(errors=2)
    done.stdout.fnmatch_lines(
        [
            'cq_worker runs the tasks, but the test is marked cq("serial")',
            "*",
            "cq_worker runs the tasks; wait for them by get(), without run_tasks",
        ]
    )
