"""The demo's site with django-unfold, which makes its own default site."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "demo"))

from settings import *  # noqa: F403 - of the demo
from settings import INSTALLED_APPS as OF_THE_DEMO

INSTALLED_APPS = ["unfold", *OF_THE_DEMO]
ROOT_URLCONF = "unfold_urls"
CQ_ADMIN_AUTOREGISTER = False
