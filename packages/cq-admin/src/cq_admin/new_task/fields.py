"""The field of one parameter: what is typed, what is stored, or its default."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cq import codec
from cq.definitions.signatures import encoded
from cq.display.values import LONGEST_SHOWN, in_brief
from cq.errors import CodecError
from cq.text import unstorable
from cq_admin.display.html import visible

from .annotations import annotation_of
from .json_field import json_kind, json_text
from .kinds import LONGEST_LINE, Kind, kind_of
from .parameters import MISSING, Parameter
from .rows import row_kind

if TYPE_CHECKING:
    from cq.definitions.registry import Definition
    from cq.display.redaction import Redaction

    from .rows import Asker

LONGEST_DEFAULT = 120


class ArgumentField(forms.Field):
    """The field of a parameter; `clean` gives its value, or MISSING for its default.

    Text that nobody has changed stands for the very value that is stored, of which it may
    be less than the whole.
    """

    def __init__(
        self,
        parameter: Parameter,
        definition: Definition,
        redaction: Redaction,
        asker: Asker,
    ) -> None:
        self.parameter, self.redaction, self.asker = parameter, redaction, asker
        takes = annotation_of(parameter.declared, definition.function)
        kind = None if parameter.takes_rest else self._kind(takes.kind)
        self.takes_none = takes.takes_none and not parameter.takes_rest
        self.is_secret = parameter.is_secret(redaction)
        #: What stands in the field where nobody has changed it; None: nothing.
        self.shown: str | None = None
        if parameter.node is not MISSING and not self.is_secret:
            kind, self.shown = self._shown(kind, parameter.node)
        self.kind = kind or json_kind(self._json_annotation(takes.kind), asker)
        #: Whether what is stored is kept where nothing is typed, as it can't be shown.
        self.offers_to_keep = parameter.stored is not MISSING and self.shown is None
        #: Whether that was asked for; the form says it.
        self.keeps = self.offers_to_keep
        super().__init__(
            required=self._is_asked_for(),
            label=self._label(),
            help_text=self._help(definition),
            widget=self._widget(),
            initial=self.shown,
        )

    # --- what it looks like -----------------------------------------------------------

    def _kind(self, annotation: Any) -> Kind | None:
        if isinstance(annotation, type) and issubclass(annotation, Model):
            return row_kind(annotation, self.asker)
        return kind_of(annotation)

    def _json_annotation(self, annotation: Any) -> Any:
        rest: dict[Any, Any] = {
            inspect.Parameter.VAR_POSITIONAL: list,
            inspect.Parameter.VAR_KEYWORD: dict,
        }
        return rest.get(self.parameter.declared.kind, annotation)

    def _shown(self, kind: Kind | None, node: Any) -> tuple[Kind | None, str | None]:
        """Return the kind that a value has a text in, and that; None: it is not shown."""
        if not self.parameter.shows(node, self.redaction):
            return kind, None
        if node is None and self.takes_none:
            return kind, ""
        text = None if kind is None else _written(kind, node)
        if text is None:
            kind, text = None, json_text(node)
        if text is not None and len(text) > LONGEST_SHOWN:
            text = None
        return kind, text

    def _is_asked_for(self) -> bool:
        return (
            self.parameter.is_required
            and not self.takes_none
            and not self.offers_to_keep
        )

    def _label(self) -> str:
        stars: dict[Any, str] = {
            inspect.Parameter.VAR_POSITIONAL: "*",
            inspect.Parameter.VAR_KEYWORD: "**",
        }
        return stars.get(self.parameter.declared.kind, "") + self.parameter.name

    def _help(self, definition: Definition) -> Any:
        said: list[Any] = [self.kind.help] if self.kind.help else []
        if self._is_asked_for():
            said.append(gettext_lazy("Required."))
        if self.takes_none:
            said.append(gettext_lazy("Empty is None."))
        if self.parameter.declared.default is not inspect.Parameter.empty:
            default = self._default_words()
            said.append(format_lazy("{}: {}", gettext_lazy("Default"), default))
        return format_lazy(" ".join(["{}"] * len(said)), *said)

    def _default_words(self) -> Any:
        node = self.parameter.default
        if node is MISSING:
            return gettext_lazy("what the function says")
        if self.is_secret or not self.parameter.shows(node, self.redaction):
            return gettext_lazy("hidden")
        return visible(in_brief(node, LONGEST_DEFAULT))

    def _widget(self) -> forms.Widget:
        widget: forms.Widget = self.kind.field.widget
        if self.is_secret:
            attrs = {"class": "vTextField", "autocomplete": "new-password"}
            return forms.PasswordInput(attrs)
        if isinstance(self.kind.field, forms.ChoiceField):
            choices: list[Any] = list(self.kind.field.choices)  # type: ignore[arg-type]
            if self.takes_none or self.shown is None:
                none = "None" if self.takes_none else "---------"
                choices.insert(0, ("", none))
            return forms.Select(choices=choices)
        long = self.shown and (len(self.shown) > LONGEST_LINE or "\n" in self.shown)
        if type(self.kind.field) is forms.CharField and long:
            return forms.Textarea(
                {"rows": 6, "class": "vLargeTextField", "dir": "auto"}
            )
        if isinstance(widget, forms.Textarea) and long:
            widget.attrs["rows"] = 6
        return widget

    def bound_data(self, data: Any, initial: Any) -> Any:
        """Return what stands in the field once more: nothing of what is secret in it."""
        if not isinstance(data, str):
            return ""
        try:
            node = json.loads(data)
        except (ValueError, RecursionError):
            node = data
        shows = self.parameter.shows(node, self.redaction)
        return data if shows and self.parameter.shows(data, self.redaction) else ""

    # --- what it means ----------------------------------------------------------------

    def clean(self, value: Any) -> Any:
        text = _lines(value if isinstance(value, str) else "")
        if self.offers_to_keep and self.keeps and not text:
            return self._as_stored()
        if self.shown is not None and self._is_unchanged(text):
            return MISSING if self.parameter.stored is MISSING else self._as_stored()
        if not text:
            return self._empty()
        try:
            typed = self.kind.field.clean(text)
            self._check(typed)
        except ValidationError as error:
            # Messages have what was typed in them.
            raise _hidden() if self.is_secret else error from None
        return typed

    def _is_unchanged(self, text: str) -> bool:
        assert self.shown is not None
        if text == _lines(self.shown):
            return True
        if not self.kind.parsed or not text or not self.shown:
            return False
        read = self.kind.field.to_python
        try:
            return bool(read(text) == read(self.shown))
        except (TypeError, ValidationError):
            return False

    def _empty(self) -> Any:
        """Return what an empty field stands for; raises ValidationError for nothing."""
        asked_for = self.parameter.is_required
        if not asked_for and self.shown is None:
            return MISSING
        if self.takes_none:
            return None
        if asked_for:
            raise ValidationError(_("This field is required."), code="required")
        return "" if type(self.kind.field) is forms.CharField else MISSING

    def _as_stored(self) -> Any:
        """Return the value that is stored."""
        node = self.parameter.stored
        try:
            return codec.decode(json.dumps(node), self.asker.results)
        except (CodecError, RecursionError) as error:
            if self.shown is None:
                text = _("What is stored can't be read any more. Give another value.")
                raise ValidationError(text) from None
            raise ValidationError(visible(error)) from error

    def _check(self, value: Any) -> None:
        """Raise ValidationError for what cannot be stored."""
        try:
            encoded((), {self.parameter.name: value})
        except (CodecError, ValueError) as error:
            raise ValidationError(visible(error)) from error


def _hidden() -> ValidationError:
    return ValidationError(_("This value does not fit."))


def _written(kind: Kind, node: Any) -> str | None:
    try:
        text = kind.write(node)
    except (CodecError, LookupError, OverflowError, TypeError, ValueError):
        return None
    if text is None or unstorable(text) or visible(text) != _lines(text):
        return None
    return text


def _lines(text: str) -> str:
    """Return a text with the ends of lines that it had before a browser has sent it."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
