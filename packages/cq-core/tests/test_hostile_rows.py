"""Rows written by somebody who has the database, but not the code."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
import sample_tasks
from django.db import connection
from driving import fresh, run

from cq.db.statements import uuid_param
from cq.status import Status

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "subprocess.run",
        "builtins.eval",
        "django.core.management.call_command",
        "trap.sprung",
        "sample_tasks.uuid7",
        "__import__('trap')",
        "../trap",
    ],
)
def test_row_s14_a_name_in_a_row_is_looked_up_and_never_imported(
    name: str, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CQ_RUN_INLINE = False
    settings.CQ_UNKNOWN_GRACE = 0
    mark = tmp_path / "mark"
    (tmp_path / "trap.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(tmp_path)
    handle = sample_tasks.square.delay(2)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE cq_tasks SET name = %s, args = %s WHERE id = %s",
            [name, f'["touch {mark}"]', uuid_param(connection, handle.pk)],
        )

    found = run(fresh(handle))

    assert (found.status, found.exception) == (
        Status.FAILURE,
        "cq.errors.UnknownTask",
    )
    assert not mark.exists()
    assert "trap" not in sys.modules
