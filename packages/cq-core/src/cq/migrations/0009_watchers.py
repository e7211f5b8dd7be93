"""What somebody watches just now, for whoever runs it."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("cq", "0008_pages"),
    ]

    operations = [
        migrations.CreateModel(
            name="Watcher",
            fields=[
                ("root", models.UUIDField(primary_key=True, serialize=False)),
                ("until", models.DateTimeField()),
            ],
            options={
                "db_table": "cq_watchers",
                "default_permissions": (),
                "abstract": False,
                "indexes": [
                    models.Index(fields=["until"], name="cq_watcher_until"),
                ],
            },
        ),
    ]
