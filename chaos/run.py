"""``hatch run chaos``: real processes and servers, mistreated by a seeded plan.

Workers run a mixed load while faults come every few seconds. Then the faults stop, all
is waited for, and rows, ledger and journals are held against each other. Exit code 1
when a promise is broken; the rows are named.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
os.environ["PYTHONPATH"] = os.pathsep.join(
    part for part in (str(HERE), os.environ.get("PYTHONPATH", "")) if part
)

BACKENDS = ("valkey", "postgres", "sqlite")
#: cq's own lease, in seconds.
LEASE = 15.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, help="of a run to be repeated")
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        default="valkey",
        help="valkey: PostgreSQL, and a channel layer on Valkey (default); postgres: "
        "with NOTIFY; sqlite: processes are killed, nothing else",
    )
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument(
        "--processes", type=int, default=2, help="children of each worker"
    )
    parser.add_argument("--threads", type=int, default=4, help="slots of each child")
    parser.add_argument(
        "--tasks", type=int, help="rows to make in all; default: 60 a second"
    )
    parser.add_argument("--every", type=float, default=4.0, help="seconds to a fault")
    parser.add_argument("--lease", type=float, default=LEASE, help="CQ_LEASE")
    parser.add_argument(
        "--patience", type=float, default=180.0, help="seconds to settle in at the end"
    )
    parser.add_argument(
        "--only", help="kinds of fault, by parts of their names, separated by commas"
    )
    parser.add_argument("--keep", type=Path, help="directory for logs and the report")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1_000_000)
    return options


def main() -> int:
    options = arguments()
    directory = Path(tempfile.mkdtemp(prefix="cq-chaos-"))
    os.environ["CHAOS_DIRECTORY"] = str(directory)
    if options.lease != LEASE:
        os.environ["CHAOS_LEASE"] = str(options.lease)
    # Whoever has started servers ends them on the way out.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.default_int_handler)

    from storm import Storm

    storm = Storm(options, directory)
    clean = False
    try:
        report = storm.run()
        clean = report["clean"]
    except KeyboardInterrupt:
        return 130
    finally:
        storm.close()
        _put_away(directory, options.keep, clean)
    print("\nclean" if clean else "\nBROKEN", f"(seed {options.seed})")
    return 0 if clean else 1


def _put_away(directory: Path, keep: Path | None, clean: bool) -> None:
    """Keep logs, journals and report where that was asked for, or is of use."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        for path in directory.iterdir():
            if path.is_file():
                shutil.copy(path, keep)
    if keep is None and not clean:
        print(f"logs, journals and the report are in {directory}")
    else:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
