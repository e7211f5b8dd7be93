"""The form of an operation: why, over which time, and what the verb asks for besides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext_lazy as _

from cq.conf import conf
from cq.definitions.options import LONGEST_QUEUE
from cq.operations import verbs
from cq.operations.operation import LONGEST_REASON, LONGEST_SPREAD

if TYPE_CHECKING:
    from cq.operations.verbs import Verb


class ManyForm(forms.Form):
    """What is asked for a verb."""

    reason = forms.CharField(
        label=_("Reason"),
        required=False,
        max_length=LONGEST_REASON,
        help_text=_("Kept in the history, and with the operation."),
    )
    spread = forms.FloatField(
        label=_("Spread over"),
        required=False,
        min_value=0,
        max_value=LONGEST_SPREAD,
        help_text=_(
            "Minutes. The tasks begin one after the other over that time, so that what "
            "has just been mended is not buried again."
        ),
    )
    priority = forms.IntegerField(
        label=_("Priority"),
        min_value=-100,
        max_value=100,
        help_text=_("-100 to 100; higher comes first."),
    )
    queue = forms.CharField(
        label=_("Queue"),
        max_length=LONGEST_QUEUE,
        help_text=_("Where the tasks are to wait."),
    )

    def __init__(self, verb: Verb, data: Any = None) -> None:
        super().__init__(data, label_suffix="")
        if not verb.spreads:
            del self.fields["spread"]
        for name in (verbs.PRIORITY.name, verbs.QUEUE.name):
            if name != verb.name:
                del self.fields[name]

    def clean_queue(self) -> str:
        queue: str = self.cleaned_data["queue"]
        if conf.QUEUES is not None and queue not in conf.QUEUES:
            said = _("It must be one of %(queues)s (CQ_QUEUES).")
            raise forms.ValidationError(
                said, params={"queues": ", ".join(sorted(conf.QUEUES))}
            )
        return queue

    @property
    def value(self) -> Any:
        """The priority, or the queue, where one was asked for."""
        found = self.cleaned_data
        return found.get(verbs.PRIORITY.name, found.get(verbs.QUEUE.name))
