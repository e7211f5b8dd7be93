"""What is published to a topic, and questions: their forms, and who has answered."""

import cq.fields
from django.db import migrations, models
from django.db.models import Q


def fit_mysql(apps, schema_editor):
    """Compare topics exactly; one index of all steps by their names is enough."""
    connection = schema_editor.connection
    if connection.vendor != "mysql":
        return
    exact = "utf8mb4_nopad_bin" if connection.mysql_is_mariadb else "utf8mb4_0900_bin"
    names = f"CHARACTER SET utf8mb4 COLLATE {exact}"
    # By itself: in one statement it would undo what the columns are told.
    schema_editor.execute(
        "ALTER TABLE cq_publications CONVERT TO CHARACTER SET utf8mb4"
    )
    schema_editor.execute(
        "ALTER TABLE cq_publications "
        f"MODIFY topic varchar(200) {names} NOT NULL, "
        f"MODIFY publication_key varchar(200) {names} NULL"
    )
    # No index there is of some rows only: what is a condition elsewhere comes first.
    schema_editor.execute(
        "ALTER TABLE cq_messages DROP INDEX cq_message_untaken, "
        "ADD INDEX cq_message_untaken (taken_by, task_id, name, id)"
    )
    # Without a condition it is the same as `cq_waiting_for`.
    schema_editor.execute("DROP INDEX cq_topic_waits ON cq_steps")


def unfit_mysql(apps, schema_editor):
    """Make what is taken away next."""
    if schema_editor.connection.vendor == "mysql":
        schema_editor.execute("CREATE INDEX cq_topic_waits ON cq_steps (name, task_id)")


class Migration(migrations.Migration):

    dependencies = [
        ("cq", "0021_compensations"),
    ]

    operations = [
        migrations.CreateModel(
            name="Publication",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("topic", models.CharField(max_length=200)),
                (
                    "key",
                    models.CharField(
                        db_column="publication_key", max_length=200, null=True
                    ),
                ),
                ("payload", cq.fields.EncodedField(default="null")),
                ("published", models.DateTimeField()),
                ("until", models.DateTimeField(null=True)),
                ("over", models.DateTimeField()),
                ("delivered", models.BooleanField(default=False)),
            ],
            options={
                "db_table": "cq_publications",
                "default_permissions": (),
                "abstract": False,
                "indexes": [
                    models.Index(
                        fields=["topic", "id"],
                        name="cq_undelivered",
                        condition=Q(delivered=False),
                    ),
                    models.Index(fields=["over"], name="cq_publication_over"),
                    models.Index(
                        fields=["until"],
                        name="cq_kept",
                        condition=Q(until__isnull=False),
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("topic", "key"), name="cq_publication_key"
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="step",
            name="form",
            field=cq.fields.EncodedField(null=True),
        ),
        migrations.AddIndex(
            model_name="step",
            index=models.Index(
                fields=["name", "task"],
                name="cq_topic_waits",
                condition=Q(kind="topic", finished__isnull=True),
            ),
        ),
        migrations.AddField(
            model_name="message",
            name="kind",
            field=models.CharField(default="wait", db_default="wait", max_length=10),
        ),
        migrations.AddField(
            model_name="message",
            name="author",
            field=models.CharField(max_length=200, null=True),
        ),
        migrations.AddField(
            model_name="message",
            name="publication",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddConstraint(
            model_name="message",
            constraint=models.UniqueConstraint(
                fields=("task", "publication"), name="cq_message_publication"
            ),
        ),
        # MySQL changes no table inside a transaction.
        migrations.RunPython(fit_mysql, unfit_mysql, atomic=False),
    ]
