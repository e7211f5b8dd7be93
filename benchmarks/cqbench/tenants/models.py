"""A tenant, and a domain of one, as django-tenants wants them."""

from __future__ import annotations

from django_tenants.models import DomainMixin, TenantMixin


class Client(TenantMixin):  # type: ignore[misc]
    auto_create_schema = True


class Domain(DomainMixin):  # type: ignore[misc]
    pass
