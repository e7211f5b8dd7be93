"""A site with nothing but cq, on the servers that the run has started."""

import os
from typing import Any

from psycopg.conninfo import conninfo_to_dict

_database = conninfo_to_dict(os.environ["CQ_BENCH_DATABASE"])
_valkey = os.environ.get("CQ_BENCH_VALKEY")

SECRET_KEY = "only for benchmarks"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _database["dbname"],
        "USER": _database.get("user", ""),
        "PASSWORD": _database.get("password", ""),
        "HOST": _database.get("host", ""),
        "PORT": str(_database.get("port", "")),
        # Django's word for a pooler between transactions, though none is there.
        "DISABLE_SERVER_SIDE_CURSORS": "CQ_BENCH_POOLED" in os.environ,
    }
}

if _file := os.environ.get("CQ_BENCH_SQLITE"):
    # As the tutorial has it.
    DATABASES["default"] = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": _file,
        "OPTIONS": {
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            "transaction_mode": "IMMEDIATE",
        },
    }

if _valkey:
    # redis-py gives up on a silent socket after some seconds, and that of a worker
    # which waits for its next message is silent: hence None.
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            "CONFIG": {"hosts": [{"address": _valkey, "socket_timeout": None}]},
        }
    }

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "cq",
    "cq_channels",
    "cq_scheduler",
    "cqbench",
]

# cq-admin is left out on purpose.
SILENCED_SYSTEM_CHECKS = ["cq.W003"]

#: What a project may put around each run: one that times it, and what nearly each
#: carries, the language and the id of a request.
if "CQ_BENCH_HOOKS" in os.environ:
    CQ_MIDDLEWARE = ["cqbench.hooks.timing"]
    CQ_CONTEXT = ["cq.context.language", "cqbench.hooks.request_id"]
