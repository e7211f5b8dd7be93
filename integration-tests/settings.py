"""Everything installed, on the backend that CQ_TEST_BACKEND names."""

import os

import cq_backends

SECRET_KEY = "only for tests"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "urls"
STATIC_URL = "static/"
DATABASES = cq_backends.databases()
CHANNEL_LAYERS = cq_backends.channel_layers()

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "channels",
    "cq",
    "cq_channels",
    "cq_scheduler",
    "cq_admin",
    "floor",
]

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Hashing a password for real takes longer than most tests.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# A worker that was killed is to be noticed within a test's patience.
CQ_HEARTBEAT = 0.3
CQ_LEASE = float(os.environ.get("CQ_TEST_LEASE", "2"))
CQ_SWEEP = 1.0
# Neither is a task whose name nobody knows to be tried for ten minutes.
CQ_UNKNOWN_GRACE = 0
CQ_LIMITS = {
    "gate": {"concurrency": 1},
    "metered": {"rate": "100/s", "burst": 20},
}
# How long a page takes on a loaded machine is no test's concern.
CQ_ADMIN_TIMEOUT = 60.0
