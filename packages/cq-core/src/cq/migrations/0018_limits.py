"""Lanes: tasks that limits hold back, or that take turns; and what limits keep of them."""

from django.db import migrations, models
from django.db.models import F, OrderBy, Q
from django.db.models.functions import Upper
from django.db.models.lookups import Exact

QUEUED = Q(status="QUEUED")
#: No index of MySQL is of some rows only: what is a condition elsewhere comes first here.
MYSQL_INDEXES = {
    # The one that it is there for is made later, when the migration has ended.
    "cq_lanes": {"cq_lane_turns": "held_by, queue, priority, fair, head"},
    "cq_tasks": {
        "cq_ready": "status, queue, priority, lane, id",
        "cq_newcomers": "listed, status, lane, id",
    },
}
NEWCOMER = Q(lane__isnull=False, listed__isnull=True) & Q(
    Exact(Upper("status"), "QUEUED")
)


def fit_mysql(apps, schema_editor):
    """Compare keys exactly, whatever the database's collation; index what is a condition."""
    connection = schema_editor.connection
    if connection.vendor != "mysql":
        return
    exact = "utf8mb4_nopad_bin" if connection.mysql_is_mariadb else "utf8mb4_0900_bin"
    text = f"CHARACTER SET utf8mb4 COLLATE {exact}"
    changes = {
        "cq_lanes": (
            f"MODIFY queue varchar(100) {text} NOT NULL",
            f"MODIFY name varchar(200) {text} NOT NULL",
            f"MODIFY fair varchar(200) {text} NOT NULL",
            f"MODIFY held_by varchar(200) {text} NULL",
        ),
        "cq_places": (f"MODIFY limit_key varchar(200) {text} NOT NULL",),
        "cq_limit_keys": (
            f"MODIFY limit_key varchar(200) {text} NOT NULL",
            f"MODIFY name varchar(200) {text} NOT NULL",
        ),
        "cq_limits": (f"MODIFY name varchar(200) {text} NOT NULL",),
        "cq_tasks": (),
    }
    # By itself: in one statement it would undo what the columns are told.
    schema_editor.execute("ALTER TABLE cq_limits CONVERT TO CHARACTER SET utf8mb4")
    for table, parts in changes.items():
        indexes = MYSQL_INDEXES.get(table, {})
        with connection.cursor() as cursor:
            there = connection.introspection.get_constraints(cursor, table)
        dropped = [f"DROP INDEX {name}" for name in indexes if name in there]
        added = [f"ADD INDEX {name} ({of})" for name, of in indexes.items()]
        schema_editor.execute(
            f"ALTER TABLE {table} {', '.join([*parts, *dropped, *added])}"
        )


class Migration(migrations.Migration):

    dependencies = [
        ("cq", "0017_debounces"),
    ]

    operations = [
        migrations.CreateModel(
            name="Lane",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("queue", models.CharField(max_length=100)),
                ("priority", models.SmallIntegerField()),
                ("lane", models.UUIDField()),
                ("name", models.CharField(max_length=200)),
                ("options", models.JSONField()),
                ("fair", models.CharField(default="", max_length=200)),
                ("head", models.UUIDField()),
                ("held_by", models.CharField(max_length=200, null=True)),
            ],
            options={
                "db_table": "cq_lanes",
                "abstract": False,
                "default_permissions": (),
                "indexes": [
                    models.Index(
                        fields=["queue", "-priority", "fair", "head"],
                        name="cq_lane_open",
                        condition=Q(held_by__isnull=True),
                    ),
                    models.Index(
                        fields=["held_by", "-priority", "head"],
                        name="cq_lane_held",
                        condition=Q(held_by__isnull=False),
                    ),
                    models.Index(fields=["queue", "head"], name="cq_lane_oldest"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("queue", "priority", "lane"), name="cq_lane_of"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Limit",
            fields=[
                (
                    "name",
                    models.CharField(
                        max_length=200,
                        primary_key=True,
                        serialize=False,
                        verbose_name="name",
                    ),
                ),
                (
                    "rate",
                    models.CharField(
                        blank=True, max_length=20, null=True, verbose_name="rate"
                    ),
                ),
                (
                    "burst",
                    models.IntegerField(blank=True, null=True, verbose_name="burst"),
                ),
                (
                    "concurrency",
                    models.IntegerField(
                        blank=True, null=True, verbose_name="concurrency"
                    ),
                ),
                (
                    "reason",
                    models.CharField(
                        blank=True, max_length=1000, verbose_name="reason"
                    ),
                ),
                (
                    "by",
                    models.CharField(blank=True, max_length=200, verbose_name="by"),
                ),
                ("since", models.DateTimeField(verbose_name="since")),
            ],
            options={
                "verbose_name": "limit",
                "verbose_name_plural": "task limits",
                "db_table": "cq_limits",
                "permissions": (("change_limits", "Can change named limits"),),
                "abstract": False,
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="LimitKey",
            fields=[
                (
                    "key",
                    models.CharField(
                        db_column="limit_key",
                        max_length=200,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("name", models.CharField(default="", max_length=200)),
                ("arrival", models.DateTimeField(null=True)),
                ("closed_until", models.DateTimeField(null=True)),
                ("opens", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "cq_limit_keys",
                "abstract": False,
                "default_permissions": (),
                "indexes": [
                    models.Index(
                        fields=["opens"],
                        name="cq_limit_key_opens",
                        condition=Q(opens__isnull=False),
                    ),
                    models.Index(fields=["name"], name="cq_limit_key_name"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Place",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "key",
                        "number",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("key", models.CharField(db_column="limit_key", max_length=200)),
                ("number", models.IntegerField()),
                ("task", models.UUIDField()),
                ("fence", models.IntegerField()),
                ("worker", models.BigIntegerField()),
            ],
            options={
                "db_table": "cq_places",
                "abstract": False,
                "default_permissions": (),
                "indexes": [models.Index(fields=["worker"], name="cq_place_worker")],
            },
        ),
        # Nullable and without a default: PostgreSQL and MariaDB write no row for them.
        migrations.AddField(
            model_name="task",
            name="lane",
            field=models.UUIDField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="task",
            name="listed",
            field=models.BooleanField(blank=True, null=True),
        ),
        migrations.RemoveIndex(model_name="task", name="cq_ready"),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                F("queue"),
                OrderBy(F("priority"), descending=True),
                F("lane"),
                F("id"),
                name="cq_ready",
                condition=QUEUED,
            ),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                fields=["lane", "id"],
                name="cq_newcomers",
                condition=NEWCOMER,
            ),
        ),
        # MySQL changes no table inside a transaction.
        migrations.RunPython(fit_mysql, migrations.RunPython.noop, atomic=False),
    ]
