"""Steps of tasks, and what is sent to them."""

import cq.fields
import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Q


def fit_mysql(apps, schema_editor):
    """Compare names exactly, whatever the database's collation."""
    connection = schema_editor.connection
    if connection.vendor != "mysql":
        return
    exact = "utf8mb4_nopad_bin" if connection.mysql_is_mariadb else "utf8mb4_0900_bin"
    names = f"CHARACTER SET utf8mb4 COLLATE {exact}"
    changes = {
        "cq_steps": (
            "MODIFY kind varchar(10) CHARACTER SET ascii NOT NULL",
            "MODIFY digest varchar(32) CHARACTER SET ascii NOT NULL",
            f"MODIFY name varchar(200) {names} NOT NULL",
            f"MODIFY step_key varchar(200) {names} NOT NULL",
        ),
        "cq_messages": (
            f"MODIFY name varchar(200) {names} NOT NULL",
            f"MODIFY message_key varchar(200) {names} NULL",
        ),
    }
    for table, parts in changes.items():
        # By itself: in one statement it would undo what the columns are told.
        schema_editor.execute(f"ALTER TABLE {table} CONVERT TO CHARACTER SET utf8mb4")
        schema_editor.execute(f"ALTER TABLE {table} {', '.join(parts)}")


def of_task():
    return models.ForeignKey(
        db_constraint=False,
        db_index=False,
        on_delete=django.db.models.deletion.CASCADE,
        related_name="+",
        to="cq.task",
    )


class Migration(migrations.Migration):

    dependencies = [
        ("cq", "0019_suspended"),
    ]

    operations = [
        migrations.CreateModel(
            name="Step",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("kind", models.CharField(max_length=10)),
                ("name", models.CharField(max_length=200)),
                (
                    "key",
                    models.CharField(db_column="step_key", default="", max_length=200),
                ),
                ("number", models.IntegerField(default=0)),
                ("digest", models.CharField(default="", max_length=32)),
                ("fence", models.IntegerField()),
                ("tries", models.IntegerField(default=0)),
                ("started", models.DateTimeField()),
                ("finished", models.DateTimeField(null=True)),
                ("moment", models.DateTimeField(null=True)),
                ("result", cq.fields.EncodedField(null=True)),
                ("error", models.TextField(null=True)),
                ("exception", models.CharField(max_length=255, null=True)),
                ("traceback", models.TextField(null=True)),
                ("ended_run", models.BooleanField(default=False)),
                ("lines", models.IntegerField(default=0)),
                ("task", of_task()),
            ],
            options={
                "db_table": "cq_steps",
                "default_permissions": (),
                "abstract": False,
                "indexes": [
                    models.Index(
                        fields=["name", "task"],
                        name="cq_waiting_for",
                        condition=Q(kind="wait", finished__isnull=True),
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("task", "name", "key", "number"), name="cq_step_name"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Message",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=200)),
                (
                    "key",
                    models.CharField(
                        db_column="message_key", max_length=200, null=True
                    ),
                ),
                ("payload", cq.fields.EncodedField(default="null")),
                ("sent", models.DateTimeField()),
                ("taken_by", models.BigIntegerField(null=True)),
                ("task", of_task()),
            ],
            options={
                "db_table": "cq_messages",
                "default_permissions": (),
                "abstract": False,
                "indexes": [
                    models.Index(
                        fields=["task", "name", "id"],
                        name="cq_message_untaken",
                        condition=Q(taken_by__isnull=True),
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("task", "key"), name="cq_message_key"
                    )
                ],
            },
        ),
        # MySQL changes no table inside a transaction.
        migrations.RunPython(fit_mysql, migrations.RunPython.noop, atomic=False),
    ]
