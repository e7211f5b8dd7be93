"""A real worker, in as many processes as the tests have."""

from __future__ import annotations

import os
import time

import pytest
from django.db import connection
from django.test import TestCase, TransactionTestCase
from shop.models import Order
from shop.tasks import holds_on, order, order_all, place

PATIENCE = 60


@pytest.mark.parametrize("number", range(2))
@pytest.mark.cq("worker")
def test_it_serves_the_database_of_this_process(cq_tasks, number):
    order_all.delay([f"{number}", "b"]).get(PATIENCE)
    assert sorted(o.name for o in Order.objects.all()) == [f"{number}", "b"]
    assert {t.status for t in cq_tasks} == {"COMPLETE"}
    there = place.delay().get(PATIENCE)
    assert there["database"] == str(connection.settings_dict["NAME"])
    assert there["pid"] != os.getpid()
    assert ("gw" in there["database"]) == ("PYTEST_XDIST_WORKER" in os.environ)


@pytest.fixture
def small_arguments(settings):
    settings.CQ_SIZE_LIMIT = 2048


def test_it_has_the_settings_of_cq_that_the_test_has(small_arguments, cq_worker):
    assert place.delay().get(PATIENCE)["limit"] == 2048


def test_it_may_be_killed_and_started_again(cq_worker):
    held = holds_on.delay("one")
    while not Order.objects.exists():
        time.sleep(0.05)
    before = cq_worker.pid
    cq_worker.kill()
    cq_worker.start()
    assert cq_worker.pid != before
    assert held.get(PATIENCE) == 1
    cq_worker.stop()
    cq_worker.stop()
    assert "cqworker of 1 process" in cq_worker.output
    assert order.delay("two").status == "QUEUED"
    with pytest.raises(ProcessLookupError):
        os.kill(cq_worker.pid, 0)


class OfTransactionTestCase(TransactionTestCase):
    @pytest.fixture(autouse=True)
    def _worker(self, cq_worker):
        pass

    def test_1(self):
        assert order.delay("a").get(PATIENCE) == "ordered a"

    def test_2(self):
        assert Order.objects.count() == 0


REFUSED = "runs in a transaction: use @pytest.mark.django_db"


@pytest.mark.django_db
def refused_test(cq_worker):
    pass


@pytest.mark.cq("worker")
class RefusedTestCase(TestCase):
    def refused_test(self):
        pass
