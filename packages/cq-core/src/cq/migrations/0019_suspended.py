"""SUSPENDED: a durable task that waits, and that the clock may wake."""

from django.db import migrations, models
from django.db.models import Q

#: No index of MySQL is of some rows only: what is a condition elsewhere comes first here.
#: None: another one has these columns already.
MYSQL_INDEXES = {
    "cq_due": "status, run_after",
    "cq_open_children": "parent_id, counted, status",
    "cq_suspended": None,
}
OPEN = ["PENDING", "QUEUED", "RETRY", "RUNNING", "SUSPENDED", "WAITING"]
FINAL = [
    "COMPLETE",
    "EXPIRED",
    "FAILURE",
    "INCOMPLETE",
    "LOST",
    "REVOKED",
    "SKIPPED",
]
STATUSES = [
    ("PENDING", "pending"),
    ("QUEUED", "queued"),
    ("RUNNING", "running"),
    ("RETRY", "waiting to retry"),
    ("WAITING", "waiting for subtasks"),
    ("SUSPENDED", "suspended"),
    ("COMPLETE", "complete"),
    ("FAILURE", "failed"),
    ("INCOMPLETE", "incomplete"),
    ("LOST", "lost"),
    ("REVOKED", "revoked"),
    ("EXPIRED", "expired"),
    ("SKIPPED", "skipped"),
]


def fit_mysql(apps, schema_editor):
    """Index by the status."""
    connection = schema_editor.connection
    if connection.vendor != "mysql":
        return
    with connection.cursor() as cursor:
        there = connection.introspection.get_constraints(cursor, "cq_tasks")
    changes = [f"DROP INDEX {name}" for name in MYSQL_INDEXES if name in there]
    changes += [f"ADD INDEX {name} ({of})" for name, of in MYSQL_INDEXES.items() if of]
    schema_editor.execute(f"ALTER TABLE cq_tasks {', '.join(changes)}")


class Migration(migrations.Migration):

    dependencies = [
        ("cq", "0018_limits"),
    ]

    operations = [
        migrations.AlterField(
            model_name="task",
            name="status",
            field=models.CharField(
                choices=STATUSES,
                default="PENDING",
                max_length=10,
                verbose_name="status",
            ),
        ),
        migrations.RemoveConstraint(model_name="task", name="cq_finished_when_final"),
        migrations.AddConstraint(
            model_name="task",
            constraint=models.CheckConstraint(
                condition=Q(("finished__isnull", False), ("status__in", FINAL))
                | Q(("finished__isnull", True), ("status__in", OPEN)),
                name="cq_finished_when_final",
            ),
        ),
        migrations.RemoveConstraint(model_name="task", name="cq_unique_key_when_open"),
        migrations.AddConstraint(
            model_name="task",
            constraint=models.CheckConstraint(
                condition=Q(
                    ("unique_key__isnull", True),
                    ("status__in", OPEN),
                    _connector="OR",
                ),
                name="cq_unique_key_when_open",
            ),
        ),
        migrations.RemoveIndex(model_name="task", name="cq_due"),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                fields=["run_after"],
                name="cq_due",
                condition=Q(
                    ("run_after__isnull", False),
                    ("status__in", ["PENDING", "RETRY", "SUSPENDED"]),
                ),
            ),
        ),
        migrations.RemoveIndex(model_name="task", name="cq_open_children"),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                fields=["parent"],
                name="cq_open_children",
                condition=Q(
                    ("counted", True),
                    ("parent__isnull", False),
                    ("status__in", OPEN),
                ),
            ),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                fields=["id"],
                name="cq_suspended",
                condition=Q(("status", "SUSPENDED")),
            ),
        ),
        # MySQL changes no table inside a transaction.
        migrations.RunPython(fit_mysql, migrations.RunPython.noop, atomic=False),
    ]
