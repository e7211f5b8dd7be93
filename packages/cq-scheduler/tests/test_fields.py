"""Arguments as a schedule stores them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from cq.codec import Encoded
from cq.errors import CodecError
from cq_scheduler.models import RepeatingTask

ARGS: Any = RepeatingTask._meta.get_field("args")
KWARGS: Any = RepeatingTask._meta.get_field("kwargs")


@pytest.mark.django_db
def test_arguments_come_back_as_they_went() -> None:
    args = (1, "a", Decimal("1.50"), datetime(2026, 1, 1, tzinfo=UTC), (1, 2), {3})
    kwargs = {"to": [None, {"deep": True}]}
    made = RepeatingTask.objects.create(
        name="x", args=args, kwargs=kwargs, crontab="@daily"
    )
    row = RepeatingTask.objects.get(pk=made.pk)
    assert row.args == args
    assert row.kwargs == kwargs
    assert RepeatingTask.objects.filter(args=list(args), kwargs=kwargs).exists()


@pytest.mark.django_db
def test_saving_a_row_again_leaves_its_arguments_alone() -> None:
    row = RepeatingTask.objects.create(name="x", args=[1, (2,)], crontab="@daily")
    row = RepeatingTask.objects.get(pk=row.pk)
    row.save()
    row.refresh_from_db()
    assert row.args == (1, (2,))


def test_text_is_taken_for_the_stored_form_as_forms_and_fixtures_give_it() -> None:
    assert RepeatingTask(name="x", args='[1, "a"]').args == (1, "a")
    assert ARGS.to_python(' [1,  "a"] ') == '[1,"a"]'
    assert KWARGS.to_python("") == "{}"
    assert ARGS.to_python(None) is None
    assert ARGS.value_to_string(RepeatingTask(args=(1,))) == "[1]"


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (ARGS, "not json"),
        (ARGS, '{"a": 1}'),
        (ARGS, "1"),
        (ARGS, "[NaN]"),
        (ARGS, '[{"$":"task","v":0}]'),
        (KWARGS, "[1]"),
        (KWARGS, '{"$":"dict","v":[[1,2]]}'),
        (KWARGS, "null"),
    ],
)
def test_text_that_is_no_arguments_is_refused(field: Any, text: str) -> None:
    with pytest.raises(ValidationError):
        field.to_python(text)
    with pytest.raises(CodecError):
        field.value(Encoded(text))


def test_what_cannot_be_stored_is_refused_with_its_path() -> None:
    with pytest.raises(CodecError, match=r"args\[1\]: object"):
        ARGS.get_prep_value([1, object()])
    with pytest.raises(CodecError, match="limit is 1048576 bytes"):
        ARGS.get_prep_value(["x" * 2 * 1024 * 1024])
    with pytest.raises(CodecError, match="args: 5 is not a list"):
        ARGS.get_prep_value(5)


@pytest.mark.django_db
def test_a_row_that_cannot_be_read_can_be_looked_at() -> None:
    made = RepeatingTask.objects.create(name="x", crontab="@daily")
    RepeatingTask.objects.update(args=Encoded("broken"))
    made.refresh_from_db()
    assert made.args == "broken"
    with pytest.raises(CodecError):
        made.arguments()
