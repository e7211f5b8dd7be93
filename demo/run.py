"""``hatch run demo``: an import and an order whose workers are killed, and what comes of them.

With ``--serve`` the site stays up afterwards, with the admin to look at.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path

HERE = Path(__file__).parent
LOOK_AT_IT = """
Look at it:  hatch run demo --serve         the admin, in a browser
             hatch run manage cq list       the tasks, in the terminal
             hatch run manage cq show ID    one of them, with its steps"""
sys.path.insert(0, str(HERE))
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"


def prepare() -> None:
    """Make a fresh database."""
    import django

    data = Path(os.environ.get("CQ_DEMO_DATA") or HERE / ".data")
    shutil.rmtree(data, ignore_errors=True)
    django.setup()

    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    get_user_model().objects.create_superuser("admin", password="admin")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", action="store_true", help="keep the site up")
    options = parser.parse_args()
    prepare()
    import fulfilment
    import show
    from django.conf import settings
    from rich.console import Console
    from workers import Crew

    console = Console()
    # Whoever has started a process ends it on the way out. SIGINT too: a shell that
    # starts this in the background has it ignored.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.default_int_handler)
    try:
        with Crew(settings.DATA / "worker.log") as crew:
            ok = show.show(console, crew) and fulfilment.show(console, crew)
    except KeyboardInterrupt:
        return 130
    console.print(LOOK_AT_IT)
    if ok and options.serve:
        from serve import serve

        with contextlib.suppress(KeyboardInterrupt):
            serve()
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
