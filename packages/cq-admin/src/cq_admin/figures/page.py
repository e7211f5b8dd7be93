"""A page of figures: one address, nothing to change, no more than a limit of time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from django.core.exceptions import PermissionDenied
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.text import capfirst
from django.views.decorators.http import require_safe

from cq_admin.display.live_parts import wants_parts
from cq_admin.display.readonly import ReadOnlyAdmin
from cq_admin.display.trail import Trail

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern


class FiguresPage(ReadOnlyAdmin):
    """The page of a model without rows of its own, at the address of its list."""

    template: ClassVar[str]
    #: Of the parts that keep themselves up to date; "": there are none.
    parts_template: ClassVar[str] = ""

    class Media:
        css = {"all": ("cq_admin/list.css", "cq_admin/figures.css")}  # noqa: RUF012

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_safe(self.changelist_view))
        name = f"{self.opts.app_label}_{self.opts.model_name}_changelist"
        return [path("", view, name=name)]

    def changelist_view(
        self, request: HttpRequest, extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        # By which templates find the addresses of this site, and not of another.
        request.current_app = self.admin_site.name
        return self._limited(request, partial(self._page, request, extra_context))

    def _page(self, request: HttpRequest, extra_context: Any) -> HttpResponse:
        found = self.shown(request)
        title = capfirst(self.opts.verbose_name_plural)
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "trail": Trail(Trail.to(self, title).links[:-1], title),
            "opts": self.opts,
            "media": self.media,
            **found,
            **(extra_context or {}),
        }
        status = 400 if found.get("cq_error") else 200
        alone = self.parts_template and wants_parts(request)
        template = self.parts_template if alone else self.template
        return TemplateResponse(request, template, context, status=status)

    def shown(self, request: HttpRequest) -> dict[str, Any]:
        """Return what the template shows. "cq_error": what is wrong with the address."""
        raise NotImplementedError

    def pages_of(self, request: HttpRequest, model: type[Any]) -> Any:
        """Return the pages of a model on this site, where this user may see them."""
        pages: Any = self.admin_site._registry.get(model)
        if pages is None or not pages.has_view_permission(request):
            return None
        return pages
