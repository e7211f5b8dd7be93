"""The forms of the pages that ask before a verb is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext_lazy as _

from cq.lifecycle import HIGHEST, LOWEST

if TYPE_CHECKING:
    from cq.models import Task

LONGEST_REASON = 500


class ReasonForm(forms.Form):
    """The reason for which somebody does something to a task."""

    reason = forms.CharField(
        label=_("Reason"),
        required=False,
        max_length=LONGEST_REASON,
        widget=forms.TextInput({"class": "vTextField", "dir": "auto"}),
        help_text=_("It stands in the history of the task, with your name."),
    )
    #: Of the task as it was shown, by which it is known whether it ran since.
    fence = forms.IntegerField(required=False, widget=forms.HiddenInput)

    @classmethod
    def about(cls, task: Task) -> ReasonForm:
        """Return the form as it is first shown."""
        return cls(initial=cls.shown_of(task))

    @classmethod
    def shown_of(cls, task: Task) -> dict[str, Any]:
        return {"fence": task.fence}


class PriorityForm(ReasonForm):
    """The priority that a task is to have."""

    priority = forms.IntegerField(
        label=_("Priority"),
        min_value=LOWEST,
        max_value=HIGHEST,
        widget=forms.NumberInput({"class": "vIntegerField"}),
        help_text=_("From -100 to 100. In a queue the highest runs first."),
    )
    field_order = ("priority", "reason")

    @classmethod
    def shown_of(cls, task: Task) -> dict[str, Any]:
        return {**super().shown_of(task), "priority": task.priority}
