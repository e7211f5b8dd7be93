"""What is paused: queues, and tasks by their names."""

from django.db import migrations, models


def fit_mysql(apps, schema_editor):
    """Compare names exactly, whatever the database's collation; any text is a reason."""
    connection = schema_editor.connection
    if connection.vendor != "mysql":
        return
    exact = "utf8mb4_nopad_bin" if connection.mysql_is_mariadb else "utf8mb4_0900_bin"
    schema_editor.execute("ALTER TABLE cq_pauses CONVERT TO CHARACTER SET utf8mb4")
    schema_editor.execute(
        "ALTER TABLE cq_pauses MODIFY name varchar(200) "
        f"CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL"
    )


class Migration(migrations.Migration):

    dependencies = [
        ("cq", "0014_views"),
    ]

    operations = [
        migrations.CreateModel(
            name="Pause",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("kind", models.CharField(max_length=5)),
                ("name", models.CharField(max_length=200)),
                ("reason", models.CharField(blank=True, max_length=1000)),
                ("by", models.CharField(blank=True, max_length=200)),
                ("since", models.DateTimeField()),
                ("until", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "db_table": "cq_pauses",
                "default_permissions": (),
                "permissions": (("pause_queue", "Can pause and resume queues"),),
                "abstract": False,
                "constraints": [
                    models.UniqueConstraint(
                        fields=("kind", "name"), name="cq_pause_of"
                    )
                ],
            },
        ),
        # MySQL changes no table inside a transaction.
        migrations.RunPython(fit_mysql, migrations.RunPython.noop, atomic=False),
    ]
