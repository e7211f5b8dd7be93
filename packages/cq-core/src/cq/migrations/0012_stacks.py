"""Where in its code each task was last seen, where somebody has asked for that."""

import django.db.models.deletion
from django.db import migrations, models


def fit_mysql(apps, schema_editor):
    """Any text may be in a line of code."""
    if schema_editor.connection.vendor == "mysql":
        schema_editor.execute(
            "ALTER TABLE cq_stacks CONVERT TO CHARACTER SET utf8mb4"
        )


class Migration(migrations.Migration):

    dependencies = [
        ("cq", "0011_worker_requests"),
    ]

    operations = [
        migrations.CreateModel(
            name="Stack",
            fields=[
                (
                    "task",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="cq.task",
                    ),
                ),
                ("taken", models.DateTimeField()),
                ("worker", models.CharField(max_length=300)),
                ("text", models.TextField()),
            ],
            options={
                "db_table": "cq_stacks",
                "default_permissions": ("view",),
                "abstract": False,
            },
        ),
        # MySQL changes no table inside a transaction.
        migrations.RunPython(fit_mysql, migrations.RunPython.noop, atomic=False),
    ]
