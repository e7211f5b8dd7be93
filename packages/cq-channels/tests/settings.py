"""cq-channels with cq-core and nothing else."""

import cq_backends

SECRET_KEY = "only for tests"
USE_TZ = True
DATABASES = cq_backends.databases()
CHANNEL_LAYERS = cq_backends.channel_layers()

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "channels",
    "cq",
    "cq_channels",
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
