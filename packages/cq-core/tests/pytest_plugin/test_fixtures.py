"""What the fixtures show and do, in tests of every kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.backend("sqlite")  # the project has a database of its own


def test_what_is_recorded_is_a_sequence_newest_last(run: Callable[..., Any]) -> None:
    done = run("""
def test_it(cq_tasks):
    assert not cq_tasks
    assert cq_tasks == []
    one = greet.delay("a")
    two = greet.using(queue="mail").delay("b", polite=True)
    assert len(cq_tasks) == 2
    assert cq_tasks == [one, two]
    assert cq_tasks != [two, one]
    assert cq_tasks[-1] == two and cq_tasks[:1] == [one] and one in cq_tasks
    assert [(t.name, t.args, t.kwargs, t.queue) for t in cq_tasks] == [
        ("shop.tasks.greet", ("a",), {}, "default"),
        ("shop.tasks.greet", ("b",), {"polite": True}, "mail"),
    ]
    assert repr(cq_tasks[:1]) in repr([one])
    assert repr(cq_tasks).startswith("[shop.tasks.greet args=('a',) kwargs={} QUEUED")
    with pytest.raises(IndexError, match=r"no cq_tasks\\[2\\], 2 were recorded: shop"):
        cq_tasks[2]


def test_others_are_not_seen(cq_tasks):
    with pytest.raises(IndexError, match="no task was recorded in this test"):
        cq_tasks[-1]
""")
    done.assert_outcomes(passed=2)


def test_tasks_from_before_the_test_are_none_of_it(run: Callable[..., Any]) -> None:
    done = run("""
class Of(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.before = greet.delay("before")

    @pytest.fixture(autouse=True)
    def _tasks(self, cq_tasks, run_tasks):
        self.tasks, self.run_tasks = cq_tasks, run_tasks

    def setUp(self):
        self.set_up = greet.delay("set up")

    def test_it(self):
        greet.delay("here")
        assert [t.args for t in self.tasks] == [("set up",), ("here",)]
        assert [t.args[0] for t in self.run_tasks()] == ["before", "set up", "here"]
""")
    done.assert_outcomes(passed=1)


def test_what_a_fixture_records_is_seen(run: Callable[..., Any]) -> None:
    done = run("""
@pytest.fixture
def greeted(db):
    return greet.delay("you")

def test_it(greeted, cq_tasks):
    assert cq_tasks == [greeted]
""")
    done.assert_outcomes(passed=1)


KINDS = """
@pytest.mark.django_db
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures('db')
@pytest.mark.usefixtures('transactional_db')
@pytest.mark.cq('manual')
@pytest.mark.usefixtures('settings')
"""
A_TEST = """
%s
def test_%d(cq_tasks, run_tasks):
    parent = greet_all.delay(["a", "b"])
    fails.delay()
    assert [t.status for t in cq_tasks] == ["QUEUED", "QUEUED"]
    ran = run_tasks()
    assert ran[0] == parent and len(ran) == len(cq_tasks) == 4
    assert [t.status for t in ran] == ["COMPLETE", "FAILURE", "COMPLETE", "COMPLETE"]
    assert ran[-1].get() == "Hello, b"
    assert run_tasks() == []
"""


def test_tasks_wait_until_they_are_run(run: Callable[..., Any]) -> None:
    # With cq-core alone what is committed would run at once.
    kinds = KINDS.split()
    done = run("".join(A_TEST % (kind, n) for n, kind in enumerate(kinds)))
    done.assert_outcomes(passed=6)


def test_it_works_in_classes_of_unittest(run: Callable[..., Any]) -> None:
    done = run("""
class Base:
    @pytest.fixture(autouse=True)
    def _tasks(self, cq_tasks, run_tasks):
        self.tasks, self.run_tasks = cq_tasks, run_tasks

    def test_it(self):
        greet.delay("you")
        assert [t.status for t in self.tasks] == ["QUEUED"]
        assert self.run_tasks() == self.tasks
        assert self.tasks[-1].result == "Hello, you"

    def test_by_commit(self):
        with self.captureOnCommitCallbacks(execute=True):
            sent = greet.delay("you")
        assert self.tasks[-1].status == "QUEUED"
        assert self.run_tasks() == [sent]

class OfTestCase(Base, TestCase):
    pass

class OfTransactionTestCase(Base, TransactionTestCase):
    captureOnCommitCallbacks = TestCase.captureOnCommitCallbacks
""")
    done.assert_outcomes(passed=4)


def test_a_class_of_unittest_runs_without_pytest_django(
    run: Callable[..., Any], pytester: pytest.Pytester
) -> None:
    pytester.makeconftest("""
        import os
        import django, pytest
        from django.test.utils import setup_databases, setup_test_environment, teardown_databases

        os.environ["DJANGO_SETTINGS_MODULE"] = "own_settings"

        def pytest_configure():
            django.setup()

        @pytest.fixture(scope="session", autouse=True)
        def databases():
            setup_test_environment()
            made = setup_databases(0, False)
            yield
            teardown_databases(made, 0)
    """)
    pytester.makepyfile(
        test_other="""
        import pytest
        from django.test import TestCase
        from shop.tasks import greet

        class Of(TestCase):
            @pytest.fixture(autouse=True)
            def _tasks(self, cq_tasks, run_tasks):
                self.tasks, self.run_tasks = cq_tasks, run_tasks

            def test_it(self):
                greet.delay("you")
                assert self.run_tasks() == self.tasks
        """
    )
    pytester.makeini("[pytest]\npythonpath = .\naddopts = -p no:cacheprovider")
    done = pytester.runpytest_subprocess("-p", "no:django", "test_other.py")
    done.assert_outcomes(passed=1)


def test_a_worker_is_refused_without_cq_channels(run: Callable[..., Any]) -> None:
    done = run("def test_it(cq_worker):\n    pass\n")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(
        ['cq_worker needs cq-channels: *put "cq_channels" into INSTALLED_APPS']
    )
