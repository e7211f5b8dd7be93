"""A cursor that was made before an atomic task writes within its transaction."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection

from cq.db import transactions

pytestmark = pytest.mark.django_db(transaction=True)


class Unwanted(Exception):
    pass


def _fails_having_written_by(kept: Any) -> None:
    with transactions.task_transaction(connection):
        kept.execute("INSERT INTO auth_group (name) VALUES ('kept')")
        assert not transactions.is_untouched(connection)
        raise Unwanted


def test_what_a_kept_cursor_writes_is_undone_with_the_task() -> None:
    with connection.cursor() as kept:
        kept.execute("SELECT 1")
        with pytest.raises(Unwanted):
            _fails_having_written_by(kept)
    assert not Group.objects.exists()


def test_what_a_kept_cursor_writes_is_committed_with_the_task() -> None:
    with connection.cursor() as kept:
        with transactions.task_transaction(connection):
            kept.execute("INSERT INTO auth_group (name) VALUES ('kept')")
        assert not connection.in_atomic_block
    assert Group.objects.count() == 1
