"""The same site with django-tenants: the tables of cq are shared, the rows its tenants'."""

from .settings import *  # noqa: F403
from .settings import DATABASES, INSTALLED_APPS

DATABASES["default"]["ENGINE"] = "django_tenants.postgresql_backend"
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
TENANT_MODEL = "tenants.Client"
TENANT_DOMAIN_MODEL = "tenants.Domain"
TENANT_APPS = ["cqbench"]
SHARED_APPS = ["django_tenants", "cqbench.tenants", *INSTALLED_APPS]
INSTALLED_APPS = SHARED_APPS
CQ_CONTEXT = ["cq.context.tenant"]
#: Schemas, and half of the calls from each.
BENCH_TENANTS = ["red", "blue"]
