"""What wants attention is found by its status, and by its name with that."""

from django.db import migrations, models

INDEX, BY_NAME = "cq_attention", "cq_attention_by_name"
STATUSES = ["EXPIRED", "FAILURE", "INCOMPLETE", "LOST", "RETRY", "REVOKED", "SKIPPED"]


def fit_mysql(apps, schema_editor):
    """MySQL has no index of some rows only: one for both, and over all rows."""
    if schema_editor.connection.vendor == "mysql":
        schema_editor.execute(
            f"ALTER TABLE cq_tasks DROP INDEX {INDEX}, DROP INDEX {BY_NAME}, "
            f"ADD INDEX {INDEX} (status, name, id)"
        )


class Migration(migrations.Migration):

    dependencies = [
        ("cq", "0004_attempts"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                fields=["status", "id"],
                name=INDEX,
                condition=models.Q(("status__in", STATUSES)),
            ),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                fields=["name", "status", "id"],
                name=BY_NAME,
                condition=models.Q(("status__in", STATUSES)),
            ),
        ),
        # MySQL changes no table inside a transaction.
        migrations.RunPython(fit_mysql, migrations.RunPython.noop, atomic=False),
    ]
