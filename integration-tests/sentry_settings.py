"""As the other settings, with Sentry as a project sets it up; what it sends goes to a file."""

import json
import os
from pathlib import Path

import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport
from settings import *  # noqa: F403

SENT = Path(os.environ["CQ_TEST_SENTRY_FILE"])


class ToFile(Transport):
    def capture_envelope(self, envelope: Envelope) -> None:
        for item in envelope.items:
            line = json.dumps([item.headers["type"], item.payload.json])
            # Of several processes: one write, behind what is there.
            with SENT.open("a") as file:
                file.write(line + "\n")


sentry_sdk.init(
    dsn="https://key@sentry.invalid/1", transport=ToFile, traces_sample_rate=1.0
)

CQ_MIDDLEWARE = ["cq.contrib.sentry.middleware"]
CQ_CONTEXT = ["cq.contrib.sentry.context"]
