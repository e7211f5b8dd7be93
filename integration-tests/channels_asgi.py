"""What ``runworker`` looks its consumers up in, as the first django-cq had it."""

import django
from channels.routing import ChannelNameRouter, ProtocolTypeRouter

django.setup()

from cq.routing import channel_routing  # noqa: E402

application = ProtocolTypeRouter({"channel": ChannelNameRouter(channel_routing)})
