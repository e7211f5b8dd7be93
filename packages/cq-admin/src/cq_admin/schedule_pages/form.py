"""The form of a repeating task: a registered function, and its arguments as JSON."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

from django import forms
from django.apps import apps
from django.contrib.auth import get_permission_codename
from django.core.exceptions import ValidationError
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cq import codec
from cq.codec import Encoded
from cq.codec.references import models_in
from cq.conf import conf
from cq.definitions import registry
from cq.errors import CodecError
from cq.hooks.context import captured
from cq_admin.display.html import visible

from . import preview

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from datetime import datetime

    from django.utils.safestring import SafeString

    ModelForm = forms.ModelForm[Any]
else:
    ModelForm = forms.ModelForm

_ROWS = 4


@lru_cache
def zones() -> list[str]:
    """Return the names of all time zones that are known here."""
    return sorted(available_timezones())


def may_view(user: Any, label: str) -> bool:
    """Tell whether a user may see the rows of the model of that label, if there is one."""
    try:
        options = apps.get_model(label)._meta
    except (LookupError, ValueError):
        return False
    code = get_permission_codename("view", options)
    return bool(user.has_perm(f"{options.app_label}.{code}"))


class RepeatingTaskForm(ModelForm):
    """The form: only what may be scheduled can be chosen; the model checks the rest."""

    #: The names to choose from, and whether the user sees the rows of a model: the page
    #: sets both for who asks. A form that nobody has told offers and allows nothing.
    schedulable: Collection[str] = ()
    sees_rows_of: Callable[[str], bool] = staticmethod(lambda label: False)

    name = forms.ChoiceField(label=gettext_lazy("Task"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A person who may only look has a form without these fields.
        if "name" in self.fields:
            self.fields["name"].choices = list(self._choices())  # type: ignore[attr-defined]
        for column in ("args", "kwargs"):
            if column in self.fields:
                self.fields[column].widget.attrs["rows"] = _ROWS
                self.initial[column] = _legible(self.initial.get(column))

        if "jitter" in self.fields:
            self.fields["jitter"].required = False
        if "timezone" in self.fields:
            self.fields["timezone"].widget.attrs["list"] = "cq-zones"

    def _choices(self) -> Iterator[tuple[str, str]]:
        yield "", "---------"
        for name in self.schedulable:
            yield name, visible(name)
        # The current one is shown, or the page would look as if nothing had been chosen;
        # it is refused all the same.
        name = self.instance.name
        if name and name not in registry.names():
            yield name, _("%(name)s (not registered)") % {"name": visible(name)}
        elif name and name not in self.schedulable:
            yield name, _("%(name)s (scheduled by code only)") % {"name": visible(name)}

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name in registry.names() and name not in self.schedulable:
            raise ValidationError(_("You may not schedule this task."))
        return name

    def save(self, commit: bool = True) -> Any:
        """As any form; a new schedule takes along what is captured where it is made."""
        if self.instance._state.adding:
            self.instance.context = captured()
        return super().save(commit)

    def coming(self, now: datetime) -> SafeString:
        """Show when the schedule would come that is being typed, or what is wrong."""
        when = ("crontab", "interval", "at", "timezone", "start_after", "end_after")
        wrong = [e for name in (*when, "jitter") for e in self.errors.get(name, ())]
        if wrong:
            return render_to_string(
                "cq_admin/coming.html", {"error": visible(" ".join(map(str, wrong)))}
            )
        return preview.shown(self.instance, now)

    def clean_jitter(self) -> int:
        return self.cleaned_data["jitter"] or 0

    def clean_args(self) -> Encoded:
        return self._stored("args", list, _('a list, like [1, "a"]'))

    def clean_kwargs(self) -> Encoded:
        return self._stored("kwargs", dict, _('an object, like {"name": "a"}'))

    def _stored(self, column: str, kind: type, wanted: str) -> Encoded:
        """Return what was typed as the codec would store it, tags and all."""
        text = self.cleaned_data[column] or json.dumps(kind())
        try:
            node = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValidationError(_("This is no JSON: %s") % error) from error
        stored = json.dumps(node, separators=(",", ":"))
        if type(node) is not kind:
            raise ValidationError(_("This has to be %s") % wanted)
        self._check_references(column, node, stored)
        try:
            codec.encode(
                codec.decode(stored),
                path=column,
                size_limit=conf.SIZE_LIMIT,
                depth_limit=conf.DEPTH_LIMIT,
            )
        except CodecError as error:
            raise ValidationError(visible(error)) from error
        return Encoded(stored)

    def _check_references(self, column: str, node: Any, stored: str) -> None:
        """Refuse rows that the user may not see, before anything of them is looked up.

        The task would be given them, and a message tell whether they exist. What code
        has put there may stay, for the task that it was meant for.
        """
        unchanged = stored == self.instance.__dict__.get(column)
        if unchanged and self.cleaned_data.get("name") == self.initial.get("name"):
            return
        hidden = sorted(m for m in models_in(node) if not self.sees_rows_of(m))
        if hidden:
            raise ValidationError(
                _("It names rows of %(model)s, which you may not see.")
                % {"model": visible(hidden[0])}
            )


def _legible(stored: Any) -> Any:
    """Return stored text without the escapes that nobody types."""
    if not isinstance(stored, str):
        return stored
    try:
        text = json.dumps(json.loads(stored), ensure_ascii=False)
        text.encode()
    except (ValueError, RecursionError):
        return stored
    return text
