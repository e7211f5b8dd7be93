"""The form of a repeating task: a registered function, and its arguments as JSON."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

from django import forms
from django.core.exceptions import ValidationError
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cq import codec, registry
from cq.codec import Encoded
from cq.conf import conf
from cq.errors import CodecError

from . import schedule_coming
from .readable import visible

if TYPE_CHECKING:
    from datetime import datetime

    from django.utils.safestring import SafeString

    ModelForm = forms.ModelForm[Any]
else:
    ModelForm = forms.ModelForm

_ROWS = 4


def _registered() -> list[tuple[str, str]]:
    return [("", "---------"), *((name, visible(name)) for name in registry.names())]


@lru_cache
def zones() -> list[str]:
    """Return the names of all time zones that are known here."""
    return sorted(available_timezones())


class RepeatingTaskForm(ModelForm):
    """Nothing but what is registered can be chosen; the model checks the rest."""

    name = forms.ChoiceField(label=gettext_lazy("Task"), choices=_registered)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Who may only look has no such fields.
        name = self.fields.get("name")
        current = self.instance.name
        if name is not None and current and current not in registry.names():
            # Shown, or the page would look as if nothing had been chosen. Refused
            # by the model all the same.
            label = _("%(name)s (not registered)") % {"name": visible(current)}
            name.choices = [*_registered(), (current, label)]  # type: ignore[attr-defined]
        for column in ("args", "kwargs"):
            if column in self.fields:
                self.fields[column].widget.attrs["rows"] = _ROWS
                self.initial[column] = _legible(self.initial.get(column))

        if "jitter" in self.fields:
            self.fields["jitter"].required = False
        if "timezone" in self.fields:
            self.fields["timezone"].widget.attrs["list"] = "cq-zones"

    def coming(self, now: datetime) -> SafeString:
        """Show when the schedule would come that is being typed, or what is wrong."""
        when = ("crontab", "interval", "at", "timezone", "start_after", "end_after")
        wrong = [e for name in (*when, "jitter") for e in self.errors.get(name, ())]
        if wrong:
            return render_to_string(
                "cq_admin/coming.html", {"error": visible(" ".join(map(str, wrong)))}
            )
        return schedule_coming.shown(self.instance, now)

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
