"""Keys of debounced calls: which task was made last of each."""

import django.db.models.deletion
from django.db import migrations, models


def fit_mysql(apps, schema_editor):
    """Compare keys exactly, whatever the database's collation."""
    connection = schema_editor.connection
    if connection.vendor != "mysql":
        return
    exact = "utf8mb4_nopad_bin" if connection.mysql_is_mariadb else "utf8mb4_0900_bin"
    schema_editor.execute(
        "ALTER TABLE cq_debounces MODIFY unique_key varchar(200) "
        f"CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL"
    )


class Migration(migrations.Migration):

    dependencies = [
        ("cq", "0016_kept_keys"),
    ]

    operations = [
        migrations.CreateModel(
            name="Debounce",
            fields=[
                (
                    "unique_key",
                    models.CharField(max_length=200, primary_key=True, serialize=False),
                ),
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
                "db_table": "cq_debounces",
                "default_permissions": (),
                "abstract": False,
                "indexes": [models.Index(fields=["task"], name="cq_debounce_task")],
            },
        ),
        # MySQL changes no table inside a transaction.
        migrations.RunPython(fit_mysql, migrations.RunPython.noop, atomic=False),
    ]
