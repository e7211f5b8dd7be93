"""The page on which what is set of a named limit is changed, or taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from cq.conf import conf
from cq.definitions.limits import MOST_BURST, MOST_CONCURRENCY
from cq.limits.operating.changing import NUMBERS, reset_limit, set_limit
from cq.limits.operating.standing import Standing, standings
from cq.tables.worker_rows import LONGEST_REASON
from cq.text import unstorable
from cq_admin.display.html import EMPTY, visible
from cq_admin.display.trail import Trail

from .words import given_number, numbers

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.urls import URLPattern

    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin


class LimitForm(forms.Form):
    """What is set of a limit, and why."""

    rate = forms.CharField(
        label=gettext_lazy("Rate"),
        required=False,
        max_length=20,
        widget=forms.TextInput({"placeholder": "50/s", "dir": "ltr"}),
    )
    burst = forms.IntegerField(
        label=gettext_lazy("Burst"), required=False, min_value=1, max_value=MOST_BURST
    )
    concurrency = forms.IntegerField(
        label=gettext_lazy("At once"),
        required=False,
        min_value=1,
        max_value=MOST_CONCURRENCY,
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        required=False,
        max_length=LONGEST_REASON,
        widget=forms.TextInput({"class": "vTextField", "dir": "auto"}),
        help_text=gettext_lazy("It stands in the history, with your name."),
    )

    def __init__(self, data: Any, standing: Standing) -> None:
        row = standing.set
        names = (*NUMBERS, "reason")
        super().__init__(
            data, initial={name: getattr(row, name, None) for name in names}
        )
        for name in NUMBERS:
            text = _("Empty: as the settings say, %(value)s.")
            value = given_number(standing.given, name) or EMPTY
            self.fields[name].help_text = text % {"value": value}


class LimitPages(ModelAdmin):
    """The page, below the list of the limits."""

    def may_set(self, request: HttpRequest) -> bool:
        """Tell whether somebody may set limits, and take that back."""
        allowed = request.user.has_perm("cq.change_limits")
        return allowed and self.has_view_permission(request)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self._guarded())
        return [path("set/", view, name="cq_limit_set"), *super().get_urls()]

    def set_url(self, name: str) -> str:
        """Return the address of the page that sets a limit."""
        url = reverse(f"{self.admin_site.name}:cq_limit_set")
        return f"{url}?{urlencode({'limit': name})}"

    def _guarded(self) -> Any:
        @require_http_methods(["GET", "HEAD", "POST"])
        def guarded(request: HttpRequest) -> HttpResponse:
            # Before the look-up: who may not set one learns nothing of what there is.
            if not self.may_set(request):
                raise PermissionDenied
            name = request.GET.get("limit", "")
            found = [] if unstorable(name) else standings(conf.DATABASE, name)
            if not found:
                raise Http404("There is no limit of that name.")
            return self._set(request, found[0])

        return guarded

    def _set(self, request: HttpRequest, standing: Standing) -> HttpResponse:
        if request.method == "POST" and "reset" in request.POST:
            return self._reset(request, standing)
        form = LimitForm(request.POST or None, standing)
        if request.method == "POST" and form.is_valid():
            given = {name: form.cleaned_data[name] or None for name in NUMBERS}
            reason, by = form.cleaned_data["reason"], request.user.get_username()
            try:
                row = set_limit(standing.name, given, reason=reason, by=by)
            except ValueError as error:
                form.add_error(None, visible(error))
            else:
                if row is None:
                    return self._taken_back(request, standing)
                said = _("Set to %(numbers)s. %(reason)s")
                what = {"numbers": visible(numbers(row)), "reason": visible(reason)}
                self.log_change(request, row, (said % what).rstrip())
                return self._back(request, _("It is set. It holds within a second."))
        return self._asking(request, form, standing)

    def _reset(self, request: HttpRequest, standing: Standing) -> HttpResponse:
        reset_limit(standing.name)
        return self._taken_back(request, standing)

    def _taken_back(self, request: HttpRequest, standing: Standing) -> HttpResponse:
        if standing.set is not None:
            self.log_change(request, standing.set, _("Reset to what the settings say."))
        return self._back(request, _("It is as the settings say."))

    def _back(self, request: HttpRequest, message: str) -> HttpResponse:
        self.message_user(request, message, messages.SUCCESS)
        return HttpResponseRedirect(
            reverse(f"{self.admin_site.name}:cq_limit_changelist")
        )

    def _asking(
        self, request: HttpRequest, form: LimitForm, standing: Standing
    ) -> HttpResponse:
        title = _("Limit %(name)s") % {"name": visible(standing.name)}
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "trail": Trail.to(self, title),
            "opts": self.opts,
            "media": self.media,
            "form": form,
            "cq_is_set": standing.set is not None,
            "limits_url": reverse(f"{self.admin_site.name}:cq_limit_changelist"),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "cq_admin/limit.html", context)
