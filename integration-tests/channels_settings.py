"""As the other settings, for the worker of Channels."""

from settings import *  # noqa: F403

ASGI_APPLICATION = "channels_asgi.application"
