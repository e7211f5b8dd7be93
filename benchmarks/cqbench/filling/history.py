"""Tasks of all statuses, most of which ended long ago."""

from __future__ import annotations

from django.db import connection

#: How many of a thousand are in which status; the rest is COMPLETE.
OPEN = {"QUEUED": 40, "PENDING": 20, "RETRY": 5, "WAITING": 2}

# By the time of the call, as cq makes them.
_ID = (
    "(lpad(to_hex((extract(epoch FROM {moment}) * 1000)::bigint), 12, '0') || '7' || "
    "substr(md5(({n})::text), 1, 3) || '8' || substr(md5(({n})::text), 4, 15))::uuid"
)
#: Seconds between two calls.
_BETWEEN = "interval '0.06 s'"

# 17 tasks end each second, one in five of them a subtask of the one before, and one in
# fifty fails.
_ROWS = """
    INSERT INTO cq_tasks (id, name, args, kwargs, queue, priority, status, root_id,
        parent_id, depth, submitted, run_after, started, finished, result, fence,
        attempts, ready, exception, error)
    SELECT id, 'shop.tasks.number_' || n % 60, '[4711, "a@example.org"]', '{{}}',
        (ARRAY['default', 'mail', 'reports', 'images', 'imports'])[1 + n % 5],
        CASE n % 3 WHEN 0 THEN 10 ELSE 0 END, status, COALESCE(parent, id), parent,
        (parent IS NOT NULL)::int, moment,
        CASE WHEN status = 'RETRY' THEN now() + n * interval '1 ms' END,
        CASE WHEN status IN ('COMPLETE', 'FAILURE', 'WAITING') THEN
            moment + n % 90 * interval '20 ms' END,
        CASE WHEN status IN ('COMPLETE', 'FAILURE') THEN
            moment + n % 90 * interval '60 ms' END,
        CASE WHEN status = 'COMPLETE' THEN 'null' END, 1, 1,
        CASE WHEN n % 4 = 0 THEN moment + interval '5 ms' END,
        CASE WHEN status = 'FAILURE' THEN 'shop.errors.Timeout' END,
        CASE WHEN status = 'FAILURE' THEN 'no answer within 30 s for ' || n END
    FROM (
        SELECT n, moment, status, {id} AS id,
            CASE WHEN n % 5 = 0 AND status IN ('COMPLETE', 'FAILURE') THEN {before} END
            AS parent
        FROM (
            SELECT n, now() - ({rows} - n) * {between} AS moment, {status} AS status
            FROM generate_series(1, {rows}) n
        ) numbers
    ) made
"""


def fill(rows: int) -> None:
    """Make so many tasks, and let the planner know of them."""
    so_far, cases = 0, []
    for status, share in OPEN.items():
        so_far += share
        cases.append(f"WHEN n % 1000 < {so_far} THEN '{status}'")
    status = (
        f"CASE {' '.join(cases)} WHEN n % 50 = 49 THEN 'FAILURE' ELSE 'COMPLETE' END"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'cq_tasks' "
            "AND NOT indexdef LIKE 'CREATE UNIQUE%'"
        )
        indexes = cursor.fetchall()
        # Made at the end, they take a tenth of the time.
        for name, _ in indexes:
            cursor.execute(f"DROP INDEX {name}")
        cursor.execute(
            _ROWS.format(
                rows=rows,
                status=status,
                between=_BETWEEN,
                id=_ID.format(moment="moment", n="n"),
                before=_ID.format(moment=f"moment - {_BETWEEN}", n="n - 1"),
            )
        )
        for _, definition in indexes:
            cursor.execute(definition)
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")
