"""cq-core with nothing beside it."""

import cq_backends

SECRET_KEY = "only for tests"
USE_TZ = True
DATABASES = cq_backends.databases()

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "cq",
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
