"""Which lines of a log are for end users as well."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("cq", "0009_watchers"),
    ]

    operations = [
        migrations.AddField(
            model_name="tasklog",
            name="public",
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
