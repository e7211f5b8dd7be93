"""What the database reads is what was written."""

from __future__ import annotations

from typing import Any

import pytest
import sample_tasks
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from cq.db.statements import array_literal
from cq.models import Task

TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20
)


@pytest.mark.django_db
@pytest.mark.backend("postgres", "valkey", "pgbouncer", "postgres14")
@settings(max_examples=200, deadline=None)
@given(st.lists(st.none() | TEXTS | st.sampled_from(["NULL", "", '"', "\\", "{,}"])))
def test_postgresql_reads_an_array_as_it_was(values: list[str | None]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::text[]", [array_literal(values)])
        assert cursor.fetchone()[0] == values


@pytest.mark.django_db(transaction=True)
def test_many_keep_their_arguments_whatever_is_in_them(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    texts = ['"', "\\", '\\"', "{a,b}", "NULL", "", " ", "é\n\t", "\x00", "\ud800", "𝄞"]
    for handle, text in zip(
        sample_tasks.send_email.delay_many([(text,) for text in texts]),
        texts,
        strict=True,
    ):
        assert Task.objects.get(pk=handle.pk).args == (text,)
