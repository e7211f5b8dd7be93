"""Tags: which tasks have one."""

import django.db.models.deletion
from django.db import migrations, models


def fit_mysql(apps, schema_editor):
    """Compare tags exactly, whatever the database's collation."""
    connection = schema_editor.connection
    if connection.vendor != "mysql":
        return
    exact = "utf8mb4_nopad_bin" if connection.mysql_is_mariadb else "utf8mb4_0900_bin"
    schema_editor.execute(
        "ALTER TABLE cq_tags MODIFY tag varchar(100) "
        f"CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL"
    )


class Migration(migrations.Migration):

    dependencies = [
        ("cq", "0012_stacks"),
    ]

    operations = [
        migrations.CreateModel(
            name="Tag",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "tag",
                        "task_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("tag", models.CharField(max_length=100)),
                (
                    "task",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tag_rows",
                        to="cq.task",
                    ),
                ),
            ],
            options={
                "db_table": "cq_tags",
                "default_permissions": (),
                "abstract": False,
                "indexes": [models.Index(fields=["task"], name="cq_tag_task")],
            },
        ),
        # MySQL changes no table inside a transaction.
        migrations.RunPython(fit_mysql, migrations.RunPython.noop, atomic=False),
    ]
