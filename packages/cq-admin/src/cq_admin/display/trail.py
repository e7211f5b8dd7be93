"""The breadcrumbs of cq's own pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import django
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _

if TYPE_CHECKING:
    from django.contrib import admin


@dataclass(frozen=True)
class Trail:
    """The way from the index to a page: links, and what the page is called."""

    links: list[tuple[str, Any]]
    here: Any
    #: Whether this Django's own are a list, as from 6.1 on.
    listed: bool = django.VERSION >= (6, 1)

    @classmethod
    def to(
        cls, pages: admin.ModelAdmin[Any], here: Any, *more: tuple[str, Any]
    ) -> Trail:
        """Lead to a page below the list of a model; `more`: what is in between."""
        site, opts = pages.admin_site.name, pages.opts
        links = [
            (reverse(f"{site}:index"), _("Home")),
            (
                reverse(f"{site}:app_list", args=[opts.app_label]),
                opts.app_config.verbose_name,
            ),
            (
                reverse(f"{site}:{opts.app_label}_{opts.model_name}_changelist"),
                capfirst(opts.verbose_name_plural),
            ),
        ]
        return cls([*links, *more], here)
