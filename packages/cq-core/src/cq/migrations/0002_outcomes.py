"""What failures began with and what they were, first starts, releases, permissions, pruning."""

from django.db import migrations, models

INDEX = "cq_prunable_by_setting"


def fit_mysql(apps, schema_editor):
    """MySQL has no index of some rows only: what is a condition elsewhere comes first."""
    if schema_editor.connection.vendor == "mysql":
        schema_editor.execute(
            f"ALTER TABLE cq_tasks DROP INDEX {INDEX}, "
            f"ADD INDEX {INDEX} (parent_id, result_ttl, status, finished)"
        )


class Migration(migrations.Migration):

    dependencies = [
        ("cq", "0001_tasks"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="task",
            options={
                "ordering": ("-id",),
                "permissions": (
                    ("retry_task", "Can retry tasks"),
                    ("revoke_task", "Can revoke tasks"),
                    ("view_task_args", "Can see arguments and results"),
                    ("view_task_log", "Can see logs"),
                ),
                "verbose_name": "task",
                "verbose_name_plural": "tasks",
            },
        ),
        migrations.AddField(
            model_name="task",
            name="cause",
            field=models.UUIDField(blank=True, null=True, verbose_name="began with"),
        ),
        migrations.AddField(
            model_name="task",
            name="first_started",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="worker",
            name="release",
            field=models.CharField(blank=True, max_length=64, null=True),
        ),
        migrations.AddField(
            model_name="task",
            name="misfits",
            field=models.IntegerField(db_default=0, default=0),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                fields=["status", "finished"],
                name=INDEX,
                condition=models.Q(
                    ("finished__isnull", False),
                    ("parent__isnull", True),
                    ("result_ttl__isnull", True),
                ),
            ),
        ),
        # MySQL changes no table inside a transaction.
        migrations.RunPython(fit_mysql, migrations.RunPython.noop, atomic=False),
    ]
