"""The demo's site for a server under ASGI: pages, static files, and what is live."""

import os

from channels.routing import ProtocolTypeRouter
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
http = ASGIStaticFilesHandler(get_asgi_application())

from cq_channels.live import application as live  # noqa: E402

application = ProtocolTypeRouter({"http": http, "websocket": live})
