"""The site of the chaos run; run.py says by the environment where its servers are."""

import json
import os

SECRET_KEY = "chaos keeps no secrets"
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": json.loads(os.environ["CHAOS_DATABASE"])}

# It is meant to do without the admin.
SILENCED_SYSTEM_CHECKS = ["cq.W003"]
INSTALLED_APPS = ["channels", "cq", "cq_channels", "cq_scheduler", "work"]
CQ_TASK_MODULES = ["work.steps"]

CHANNEL_LAYERS = {}
if layer := os.environ.get("CHAOS_VALKEY"):
    # None: a worker that waits for its next message is silent for long.
    host = {"address": layer, "socket_timeout": None}
    CHANNEL_LAYERS["default"] = {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": [host]},
    }

# cq's own numbers, unless --lease asks for a shorter one.
if lease := os.environ.get("CHAOS_LEASE"):
    CQ_LEASE = float(lease)
    CQ_HEARTBEAT = min(2.0, CQ_LEASE / 5)

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {
        "cq": {"handlers": ["stderr"], "level": "INFO"},
        # Of each line that a task says, and of each that fails as it should.
        "cq.task": {"level": "ERROR"},
    },
}
