"""The tenants of django-tenants, which only `cqbench.tenant_settings` has."""
