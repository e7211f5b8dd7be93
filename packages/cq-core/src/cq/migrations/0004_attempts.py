"""What did not succeed, or was taken back, of each task."""

import django.db.models.deletion
from django.db import migrations, models


def fit_mysql(apps, schema_editor):
    """Any text may be in an error."""
    if schema_editor.connection.vendor == "mysql":
        schema_editor.execute(
            "ALTER TABLE cq_attempts CONVERT TO CHARACTER SET utf8mb4"
        )


class Migration(migrations.Migration):

    dependencies = [
        ("cq", "0003_ready"),
    ]

    operations = [
        migrations.CreateModel(
            name="Attempt",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("number", models.IntegerField()),
                ("started", models.DateTimeField(blank=True, null=True, verbose_name="started")),
                ("ended", models.DateTimeField()),
                ("worker", models.CharField(blank=True, max_length=300, null=True, verbose_name="worker")),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("failed", "failed"),
                            ("timed out", "timed out"),
                            ("lost", "lost"),
                            ("drained", "drained"),
                            ("revoked", "revoked"),
                            ("taken back", "taken back"),
                        ],
                        max_length=10,
                    ),
                ),
                ("exception", models.CharField(blank=True, max_length=255, null=True, verbose_name="exception")),
                ("error", models.TextField(blank=True, null=True, verbose_name="error")),
                ("traceback", models.TextField(blank=True, null=True, verbose_name="traceback")),
                ("next", models.DateTimeField(blank=True, null=True)),
                ("by", models.CharField(blank=True, max_length=255, null=True)),
                ("reason", models.TextField(blank=True, null=True)),
                (
                    "task",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="cq.task",
                    ),
                ),
            ],
            options={
                "verbose_name": "attempt",
                "verbose_name_plural": "attempts",
                "db_table": "cq_attempts",
                "ordering": ("-id",),
                "abstract": False,
                "indexes": [models.Index(fields=["task", "id"], name="cq_attempt_task")],
            },
        ),
        # MySQL changes no table inside a transaction.
        migrations.RunPython(fit_mysql, migrations.RunPython.noop, atomic=False),
    ]
