"""A project with the plugin of cq, on the server that the suite stands on."""

import os
from pathlib import Path

import cq_backends

SECRET_KEY = "only for tests"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["cq", "cq_channels", "shop"]
DATABASES = cq_backends.databases()
FOLDER = Path(os.environ["PLUGIN_SITE"])
# Another database than that of the suite, which is in use.
DATABASES["default"]["NAME"] = "plugin_site"
DATABASES["default"]["TEST"] = {"NAME": "test_plugin_site"}
if cq_backends.BACKEND == "sqlite":
    DATABASES["default"]["NAME"] = FOLDER / "site.sqlite3"
    DATABASES["default"]["TEST"] = {"NAME": FOLDER / "test.sqlite3"}
if "PLUGIN_SITE_IN_MEMORY" in os.environ:
    del DATABASES["default"]["TEST"]
CQ_LEASE = 2
CQ_HEARTBEAT = 0.3
CQ_SWEEP = 0.5
