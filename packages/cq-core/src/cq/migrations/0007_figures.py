"""Figures of runs, depths of queues, and marks."""

from django.db import migrations, models


def fit_postgresql(apps, schema_editor):
    """Leave room beside rows that are added to: their indexes stay as they are then."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE cq_figures SET (fillfactor = 70)")


def fit_mysql(apps, schema_editor):
    """Compare names exactly, whatever the database's collation."""
    connection = schema_editor.connection
    if connection.vendor != "mysql":
        return
    exact = "utf8mb4_nopad_bin" if connection.mysql_is_mariadb else "utf8mb4_0900_bin"
    text = f"CHARACTER SET utf8mb4 COLLATE {exact} NOT NULL"
    schema_editor.execute(
        f"ALTER TABLE cq_figures MODIFY name varchar(200) {text}, "
        f"MODIFY queue varchar(100) {text}"
    )
    schema_editor.execute(f"ALTER TABLE cq_depths MODIFY queue varchar(100) {text}")
    schema_editor.execute("ALTER TABLE cq_marks CONVERT TO CHARACTER SET utf8mb4")


def count(name):
    return (name, models.IntegerField(db_default=0, default=0))


class Migration(migrations.Migration):

    dependencies = [
        ("cq", "0006_permissions"),
    ]

    operations = [
        migrations.CreateModel(
            name="Figure",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("step", models.SmallIntegerField()),
                ("slot", models.IntegerField()),
                ("name", models.CharField(max_length=200)),
                ("queue", models.CharField(max_length=100)),
                count("complete"),
                count("failed"),
                count("retried"),
                count("lost"),
                count("timed_out"),
                ("waited", models.FloatField(db_default=0.0, default=0.0)),
                ("took", models.FloatField(db_default=0.0, default=0.0)),
                *[count(f"w{number:02}") for number in range(24)],
                *[count(f"d{number:02}") for number in range(24)],
            ],
            options={
                "db_table": "cq_figures",
                "default_permissions": (),
                "abstract": False,
                "constraints": [
                    models.UniqueConstraint(
                        fields=("step", "slot", "name", "queue"), name="cq_figure_slot"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Depth",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("step", models.SmallIntegerField()),
                ("slot", models.IntegerField()),
                ("queue", models.CharField(max_length=100)),
                ("waiting", models.IntegerField(null=True)),
                ("capped", models.SmallIntegerField(db_default=0, default=0)),
                count("running"),
                count("slots"),
                ("age", models.FloatField(db_default=0.0, default=0.0)),
                ("oldest", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "cq_depths",
                "default_permissions": (),
                "abstract": False,
                "constraints": [
                    models.UniqueConstraint(
                        fields=("step", "slot", "queue"), name="cq_depth_slot"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Mark",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("time", models.DateTimeField()),
                ("text", models.CharField(max_length=100)),
            ],
            options={
                "db_table": "cq_marks",
                "default_permissions": (),
                "abstract": False,
                "indexes": [models.Index(fields=["time"], name="cq_mark_time")],
            },
        ),
        migrations.RunPython(fit_postgresql, migrations.RunPython.noop),
        # MySQL changes no table inside a transaction.
        migrations.RunPython(fit_mysql, migrations.RunPython.noop, atomic=False),
    ]
