from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _project(settings: Any) -> None:
    settings.CQ_RUN_INLINE = False
    settings.ROOT_URLCONF = "progress_urls"
    settings.STATIC_URL = "/static/"
    settings.ALLOWED_HOSTS = ["testserver"]
    settings.MIDDLEWARE = []
    settings.TEMPLATES = [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
        }
    ]
