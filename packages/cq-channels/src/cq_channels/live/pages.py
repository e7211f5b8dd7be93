"""The pages of the admin that say who may look at what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest


def registered(model: type[Any]) -> Iterator[Any]:
    """Yield the pages of a model, of each admin site."""
    if not apps.is_installed("django.contrib.admin"):
        return
    from django.contrib.admin.sites import all_sites

    for site in all_sites:
        pages = site._registry.get(model)
        if pages is not None:
            yield pages


def has_pages(model: type[Any]) -> bool:
    return any(True for _ in registered(model))


def pages_for(request: HttpRequest, model: type[Any]) -> Iterator[Any]:
    """Yield the pages of a model that this user may look at."""
    for pages in registered(model):
        if pages.admin_site.has_permission(request) and pages.has_view_permission(
            request
        ):
            yield pages
