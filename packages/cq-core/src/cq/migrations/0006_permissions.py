"""The permission to have tasks run sooner: next, or by another priority."""

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ("cq", "0005_attention"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="task",
            options={
                "ordering": ("-id",),
                "permissions": (
                    ("retry_task", "Can retry tasks"),
                    ("revoke_task", "Can revoke tasks"),
                    ("hasten_task", "Can have tasks run sooner"),
                    ("view_task_args", "Can see arguments and results"),
                    ("view_task_log", "Can see logs"),
                ),
                "verbose_name": "task",
                "verbose_name_plural": "tasks",
            },
        ),
    ]
