"""The field for what JSON says, with the codec's tags for what it has no word for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, get_origin

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from cq import codec
from cq.codec.references import models_in
from cq.errors import CodecError
from cq_admin.display.html import visible

from .kinds import LONGEST_LINE, Kind

if TYPE_CHECKING:
    from .rows import Asker


def json_kind(annotation: Any, asker: Asker) -> Kind:
    """Return the kind of what has no field of its own."""
    wanted = get_origin(annotation) or annotation
    wanted = wanted if wanted in (list, dict) else None
    said = {
        list: _('JSON: a list, like [1, "a"].'),
        dict: _('JSON: an object, like {"name": "a"}.'),
        None: _('JSON: text in quotes, "a"; numbers, true, null, lists, objects.'),
    }
    return Kind(JSONField(asker, wanted), json_text, said[wanted])


def json_text(node: Any) -> str | None:
    """Return a node as it is typed: without escapes for what can be seen."""
    try:
        text = json.dumps(node, ensure_ascii=False)
        if len(text) > LONGEST_LINE:
            text = json.dumps(node, ensure_ascii=False, indent=2)
        text.encode()
    except (UnicodeError, ValueError, RecursionError):
        return _escaped(node)
    return text if visible(text) == text else _escaped(node)


def _escaped(node: Any) -> str | None:
    try:
        return json.dumps(node).replace("\x7f", "\\u007f")
    except (ValueError, RecursionError):
        return None


class JSONField(forms.CharField):
    """A value as the codec stores it; `asker` may name only rows that they see."""

    def __init__(self, asker: Asker, wanted: type | None) -> None:
        attrs = {"class": "vLargeTextField", "dir": "ltr", "spellcheck": "false"}
        super().__init__(widget=forms.Textarea({"rows": 2, **attrs}), strip=True)
        self.asker, self.wanted = asker, wanted

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        try:
            node = json.loads(text)
            stored = json.dumps(node)
        except (ValueError, RecursionError) as error:
            raise ValidationError(_("This is no JSON: %s") % error) from error
        hidden = sorted(m for m in models_in(node) if not self.asker.sees_rows_of(m))
        if hidden:
            raise ValidationError(
                _("It names rows of %(model)s, which you may not see.")
                % {"model": visible(hidden[0])}
            )
        try:
            found = codec.decode(stored, self.asker.results)
        except CodecError as error:
            raise ValidationError(visible(error)) from error
        if self.wanted is list and not isinstance(found, list):
            raise ValidationError(_("This has to be %s") % _('a list, like [1, "a"]'))
        if self.wanted is dict and not isinstance(found, dict):
            text = _('an object, like {"name": "a"}')
            raise ValidationError(_("This has to be %s") % text)
        return found
