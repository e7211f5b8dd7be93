"""Tasks in tests of every kind; enough of them for two processes."""

from __future__ import annotations

import pytest
from django.test import TestCase, TransactionTestCase
from shop.models import Order
from shop.tasks import order, order_all

NUMBERS = list(range(4))


@pytest.mark.parametrize("number", NUMBERS)
def test_a_function(cq_tasks, run_tasks, number):
    order.delay(f"{number}")
    assert [(t.name, t.args) for t in cq_tasks] == [
        ("shop.tasks.order", (f"{number}",))
    ]
    run_tasks()
    assert [o.name for o in Order.objects.all()] == [f"{number}"]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.django_db(transaction=True)
def test_with_commits(cq_tasks, run_tasks, number):
    order_all.delay([f"{number}", "b"])
    assert len(run_tasks()) == 3
    assert len(cq_tasks) == Order.objects.count() + 1 == 3


@pytest.mark.cq("serial")
@pytest.mark.parametrize("number", NUMBERS)
def test_serial(number):
    assert order.delay(f"{number}").result == f"ordered {number}"


@pytest.mark.parametrize("number", [1, 2])
def test_a_worker_that_dies(run_tasks, number):
    order.delay("one")
    [ran] = run_tasks(crash_at=number)
    assert (ran.losses, Order.objects.count()) == (1, 1)


class Base:
    @pytest.fixture(autouse=True)
    def _tasks(self, cq_tasks, run_tasks):
        self.tasks, self.run_tasks = cq_tasks, run_tasks

    def test_recorded(self):
        order.delay("a")
        assert [t.status for t in self.tasks] == ["QUEUED"]
        assert self.run_tasks() == self.tasks
        assert Order.objects.count() == 1

    def test_dead(self):
        order.delay("a")
        self.run_tasks(crash_at=1)
        assert Order.objects.count() == 1


class OfTestCase(Base, TestCase):
    pass


class OfTransactionTestCase(Base, TransactionTestCase):
    pass
