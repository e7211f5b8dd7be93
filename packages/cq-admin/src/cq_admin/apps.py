"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CQAdminConfig(AppConfig):
    """The app of cq-admin: no models of its own, only pages for those of cq."""

    name = "cq_admin"
    label = "cq_admin"
    verbose_name = _("Background tasks: admin pages")
    default_auto_field = "django.db.models.BigAutoField"
