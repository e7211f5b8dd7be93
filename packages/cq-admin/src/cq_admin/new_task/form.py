"""The form of a task to be made: its arguments by its signature, and its options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cq.conf import conf
from cq.definitions.fitting import BY_NAME
from cq.definitions.options import FIRST_MOMENT, LAST_MOMENT, LONGEST_QUEUE, check_queue
from cq.lifecycle import HIGHEST, LOWEST
from cq.text import unstorable
from cq_admin.display.html import visible

from .fields import ArgumentField
from .kinds import MomentField

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.forms.boundfield import BoundField

    from cq.definitions.registry import Definition
    from cq.display.redaction import Redaction

    from .parameters import Parameter
    from .rows import Asker


class OptionsForm(forms.Form):
    """The options that a task gets from who makes it."""

    queue = forms.CharField(
        label=gettext_lazy("Queue"),
        max_length=LONGEST_QUEUE,
        widget=forms.TextInput({"class": "vTextField"}),
    )
    priority = forms.IntegerField(
        label=gettext_lazy("Priority"),
        min_value=LOWEST,
        max_value=HIGHEST,
        widget=forms.NumberInput({"class": "vIntegerField"}),
        help_text=gettext_lazy("From -100 to 100. In a queue the highest runs first."),
    )
    run_after = MomentField(
        label=gettext_lazy("Not before"),
        required=False,
        widget=forms.TextInput(
            {"class": "vTextField", "type": "datetime-local", "step": "1"}
        ),
        help_text=gettext_lazy("Empty: at once."),
    )
    required_css_class = "required"
    use_required_attribute = False
    prefix = "option"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if conf.QUEUES is not None:
            names = sorted({*conf.QUEUES, self.initial["queue"]})
            choices = [(name, visible(name)) for name in names]
            self.fields["queue"] = forms.ChoiceField(label=_("Queue"), choices=choices)

    def clean_queue(self) -> str:
        queue: str = self.cleaned_data["queue"]
        if problem := unstorable(queue):
            raise ValidationError(problem)
        try:
            check_queue(queue)
        except ValueError as error:
            raise ValidationError(visible(error)) from error
        return queue

    def clean_run_after(self) -> Any:
        moment = self.cleaned_data["run_after"]
        if moment is not None and timezone.is_naive(moment):
            moment = timezone.make_aware(moment)
        if moment is not None and not FIRST_MOMENT <= moment <= LAST_MOMENT:
            text = _("From %(first)s to %(last)s.")
            raise ValidationError(
                text % {"first": FIRST_MOMENT.date(), "last": LAST_MOMENT.date()}
            )
        return moment


class ArgumentsForm(forms.Form):
    """The arguments of a task, a field for each parameter, and where it is hidden a box."""

    required_css_class = "required"
    # What is stored may be kept in an empty field.
    use_required_attribute = False
    prefix = "argument"

    def __init__(
        self,
        parameters: list[Parameter],
        definition: Definition,
        redaction: Redaction,
        asker: Asker,
        data: Any = None,
    ) -> None:
        super().__init__(data)
        self.definition = definition
        for parameter in parameters:
            field = ArgumentField(parameter, definition, redaction, asker)
            self.fields[parameter.name] = field
            if field.offers_to_keep:
                self._offer_to_keep(parameter.name, field)

    def clean(self) -> None:
        """Refuse names that ``**kwargs`` has, and a parameter as well."""
        given = self.definition.full_signature.parameters.values()
        taken = {p.name for p in given if p.kind in BY_NAME}
        for parameter in given:
            rest = self.cleaned_data.get(parameter.name)
            if parameter.kind is not parameter.VAR_KEYWORD or not isinstance(
                rest, dict
            ):
                continue
            if not all(isinstance(name, str) for name in rest):
                text = _("This has to be %s") % _('an object, like {"name": "a"}')
                self.add_error(parameter.name, text)
            elif twice := sorted(taken.intersection(rest)):
                text = _("%(name)s has a field of its own.") % {"name": twice[0]}
                self.add_error(parameter.name, text)

    def _offer_to_keep(self, name: str, field: ArgumentField) -> None:
        box = f"{name}:keep"
        label = _("Keep what is stored")
        self.fields[box] = forms.BooleanField(label=label, required=False, initial=True)
        if self.is_bound:
            field.keeps = bool(self.data.get(self.add_prefix(box)))

    def rows(self) -> Iterator[tuple[BoundField, BoundField | None]]:
        """Give each field, with the box beside it."""
        for name in self.fields:
            if not name.endswith(":keep"):
                box = f"{name}:keep"
                yield self[name], self[box] if box in self.fields else None

    def values(self) -> dict[str, Any]:
        """Return what was given, by parameter; MISSING for what is left to its default."""
        return {n: v for n, v in self.cleaned_data.items() if not n.endswith(":keep")}
