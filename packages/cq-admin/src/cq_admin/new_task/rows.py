"""Rows of the project's models as arguments: which there are for somebody, and their field."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from django import forms
from django.apps import apps
from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.contrib.admin.widgets import AutocompleteSelect
from django.contrib.auth import get_permission_codename
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DataError
from django.http import Http404
from django.urls import reverse
from django.utils.translation import gettext as _

from cq.text import unstorable
from cq_admin.display.html import visible

from .kinds import LONGEST_PK, Kind, decoded, is_tagged

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.contrib.admin import AdminSite
    from django.db.models import Model, QuerySet
    from django.http import HttpRequest


@dataclass(frozen=True)
class Asker:
    """Who fills in a form, on which site: what they may name in it."""

    request: HttpRequest
    site: AdminSite
    #: Gives the tasks that stand in the places of results; None: there are none.
    results: Callable[[int, int], list[Any]] | None = None

    def sees_rows_of(self, label: str) -> bool:
        """Tell whether they see the rows of the model of that label, if there is one."""
        try:
            model = apps.get_model(label)
        except (LookupError, ValueError):
            return False
        pages = self.site._registry.get(model)
        if pages is not None:
            return bool(pages.has_view_permission(self.request))
        code = get_permission_codename("view", model._meta)
        return bool(self.request.user.has_perm(f"{model._meta.app_label}.{code}"))

    def rows_of(self, model: type[Model]) -> QuerySet[Any]:
        """Return the rows of a model that there are for them."""
        if not self.sees_rows_of(model._meta.label):
            return model._default_manager.none()
        pages = self.site._registry.get(model)
        if pages is not None:
            return pages.get_queryset(self.request)
        return model._default_manager.all()

    def searches(self, model: type[Model]) -> bool:
        """Tell whether the admin looks the rows of a model up while somebody types."""
        pages = self.site._registry.get(model)
        return bool(pages and pages.get_search_fields(self.request))


def row_kind(model: type[Model], asker: Asker) -> Kind | None:
    """Return the kind of the rows of a model; None where a key is no single value."""
    key: Any = model._meta.pk
    if model._meta.abstract or key is None or hasattr(key, "fields"):
        return None

    def write(node: Any) -> str | None:
        stored = node["v"] if is_tagged(node, "model") else None
        if not isinstance(stored, list) or len(stored) != 3:
            return None
        label, pk, _alias = stored
        if label != model._meta.label:
            return None
        return str(decoded(pk))

    searched = asker.searches(model) and asker.sees_rows_of(model._meta.label)
    text = _("A row of %(model)s.") if searched else _("The key of a row of %(model)s.")
    said = text % {"model": model._meta.verbose_name}
    return Kind(RowField(model, asker, searched), write, said)


class RowField(forms.Field):
    """A row of a model: found by what the admin's own search finds, or named by its key."""

    def __init__(self, model: type[Model], asker: Asker, searched: bool) -> None:
        self.model, self.asker = model, asker
        attrs = {"class": "vTextField", "autocomplete": "off"}
        widget = forms.TextInput(attrs)
        super().__init__(widget=RowSelect(model, asker) if searched else widget)

    def to_python(self, value: Any) -> Any:
        label = self.model._meta.label
        if not self.asker.sees_rows_of(label):
            text = _("It names rows of %(model)s, which you may not see.")
            raise ValidationError(text % {"model": label})
        row = find(self.asker.rows_of(self.model), value)
        if row is None:
            text = _("There is no such row of %(model)s.")
            raise ValidationError(text % {"model": label})
        return row


def find(rows: QuerySet[Any], pk: str) -> Any:
    """Return the row of that key, None if there is none, whatever was typed for it."""
    if len(pk) > LONGEST_PK or unstorable(pk):
        return None
    try:
        key = rows.model._meta.pk
        assert key is not None
        return rows.filter(pk=key.to_python(pk)).first()
    except (DataError, OverflowError, TypeError, ValidationError, ValueError):
        return None


class RowSelect(AutocompleteSelect):
    """The admin's choice of a row, and without a script a field for its key."""

    template_name = "cq_admin/row_select.html"

    class Media:
        # Select2 gives its parts no name for those who do not see them.
        js = (forms.Script("cq_admin/named-select.js", type="module"),)

    def __init__(self, model: type[Model], asker: Asker) -> None:
        # As of a foreign key, which an argument is not.
        field: Any = SimpleNamespace(
            model=model, name="pk", remote_field=SimpleNamespace(model=model)
        )
        super().__init__(field, asker.site)
        self.asker = asker

    def get_url(self) -> str:
        return reverse(f"{self.asker.site.name}:cq_task_rows")

    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        options = [self.create_option(name, "", "", False, 0)]
        for pk in filter(None, value):
            row = find(self.asker.rows_of(self.field.model), pk)
            label = visible(pk if row is None else row)
            options.append(self.create_option(name, pk, label, True, 1))
        return [(None, options, 0)]

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        return data.get(f"{name}-key") or super().value_from_datadict(data, files, name)


class RowsView(AutocompleteJsonView):
    """The rows that the admin's own search finds, for who may see them and add tasks."""

    def process_request(self, request: HttpRequest) -> Any:
        site = self.admin_site
        assert site is not None
        asker = Asker(request, site)
        try:
            label = f"{request.GET['app_label']}.{request.GET['model_name']}"
            model = apps.get_model(label)
        except (LookupError, ValueError) as error:
            raise PermissionDenied from error
        if not asker.searches(model):
            raise Http404(f"The rows of {label} are not searched.")
        pages = site._registry[model]
        term = request.GET.get("term", "").replace("\x00", "")[:LONGEST_PK]
        # No column of the model's refers to it: an argument of a task does.
        return term, pages, None, model._meta.pk.attname

    def get_queryset(self) -> Any:
        rows = self.model_admin.get_queryset(self.request)
        rows = rows.order_by(*self.model_admin.get_ordering(self.request))
        found, may_have_duplicates = self.model_admin.get_search_results(
            self.request, rows, self.term
        )
        return found.distinct() if may_have_duplicates else found
