"""The keys of unique tasks as they stay, and for how long each is remembered."""

from django.db import migrations, models

KEY = "kept_key"


def fit_mysql(apps, schema_editor):
    """Compare keys exactly, whatever the database's collation."""
    connection = schema_editor.connection
    if connection.vendor != "mysql":
        return
    exact = "utf8mb4_nopad_bin" if connection.mysql_is_mariadb else "utf8mb4_0900_bin"
    schema_editor.execute(
        f"ALTER TABLE cq_tasks MODIFY {KEY} varchar(200) "
        f"CHARACTER SET utf8mb4 COLLATE {exact} NULL"
    )


class Migration(migrations.Migration):

    dependencies = [
        ("cq", "0015_pauses"),
    ]

    operations = [
        # Nullable and without a default: PostgreSQL and MariaDB write no row for it.
        migrations.AddField(
            model_name="task",
            name=KEY,
            field=models.CharField(blank=True, max_length=200, null=True),
        ),
        migrations.AddField(
            model_name="task",
            name="unique_for",
            field=models.FloatField(blank=True, null=True),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                fields=[KEY, "finished"],
                name="cq_kept_keys",
                condition=models.Q(
                    ("finished__isnull", False), ("kept_key__isnull", False)
                ),
            ),
        ),
        # MySQL changes no table inside a transaction.
        migrations.RunPython(fit_mysql, migrations.RunPython.noop, atomic=False),
    ]
