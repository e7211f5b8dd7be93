"""The process of DBOS Transact, which plays a turn as `cqbench.turns.player` does.

Workflows are called directly, on as many threads as a worker of cq has: that costs them
least. By its queue they would be written and claimed as well, and looked for each second.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import sqlalchemy as sa
from dbos import DBOS, SQLAlchemyDatasource
from psycopg.conninfo import conninfo_to_dict

THREADS = 4
#: Of a workflow, as of `cqbench.durable`, which has no place here: it wants cq.
STEPS = 10
INSERT = sa.text("INSERT INTO written (number) VALUES (:number)")


def _address() -> sa.URL:
    """Return where the database of this side is, which is on a socket."""
    found = conninfo_to_dict(os.environ["CQ_BENCH_DATABASE"])
    socket = {"host": str(found["host"])} if "host" in found else {}
    return sa.URL.create(
        "postgresql+psycopg",
        username=str(found["user"]),
        # DBOS wants one in the address; what counts is the other.
        host="localhost",
        port=int(str(found["port"])) if "port" in found else None,
        database=str(found["dbname"]),
        query=socket,
    )


ADDRESS = _address().render_as_string(hide_password=False)
#: One for both, so that each thread has its connections at hand.
ENGINE = sa.create_engine(ADDRESS, pool_size=4 * THREADS)
DATASOURCE = SQLAlchemyDatasource.create(ADDRESS, engine=ENGINE)


# As Django's transactions are; by default DBOS has serializable ones, which cost more.
@DATASOURCE.transaction(isolation_level="READ COMMITTED")
def write(number: int) -> None:
    DATASOURCE.sql_session().execute(INSERT, {"number": number})


@DBOS.workflow()
def workflow(number: int) -> None:
    for _ in range(STEPS):
        write(number)


def main() -> None:
    # DBOS may print what it does, and who plays is heard by it.
    answers, sys.stdout = sys.stdout, sys.stderr
    print(f"DBOS Transact {version('dbos')}", file=sys.stderr)
    with ENGINE.begin() as connection:
        connection.execute(
            sa.text("CREATE TABLE written (id bigserial PRIMARY KEY, number integer)")
        )
    DBOS(
        config={
            "name": "cqbench",
            "system_database_url": ADDRESS,
            "system_database_engine": ENGINE,
            "log_level": "ERROR",
        }
    )
    DBOS.launch()
    with ThreadPoolExecutor(THREADS) as pool:
        for line in sys.stdin:
            count = int(line.split()[1])
            used, began = time.process_time(), time.perf_counter()
            for _ in pool.map(workflow, range(count)):
                pass
            took = time.perf_counter() - began
            print(json.dumps((took, time.process_time() - used)), file=answers)
            answers.flush()


if __name__ == "__main__":
    try:
        main()
    except Exception:
        traceback.print_exc()
        os._exit(1)
    # Its threads would be waited for.
    os._exit(0)
