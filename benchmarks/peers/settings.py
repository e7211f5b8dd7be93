"""A site with nothing but one system: the one that the environment names."""

import os

from psycopg.conninfo import conninfo_to_dict

from .catalogue import PEERS, mode

_peer = PEERS[os.environ["CQ_BENCH_PEER"]]
_database = conninfo_to_dict(os.environ["CQ_BENCH_DATABASE"])

SECRET_KEY = "only for benchmarks"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _database["dbname"],
        "USER": _database.get("user", ""),
        "PASSWORD": _database.get("password", ""),
        "HOST": _database.get("host", ""),
        "PORT": str(_database.get("port", "")),
        # Connections are kept: a new one for each task would be all that is measured.
        "CONN_MAX_AGE": None,
    }
}

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    *_peer.apps,
    "peers",
]

globals().update(_peer.settings)
if mode() == "killed":
    globals().update(_peer.killed)
if "huey.contrib.djhuey" in _peer.apps:
    HUEY = {
        "name": "bench",
        "store_none": True,
        "immediate": False,
        "connection": {"url": os.environ["CQ_BENCH_VALKEY"] + "/0"},
    }
