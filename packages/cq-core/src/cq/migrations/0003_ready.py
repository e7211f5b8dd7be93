"""When a task became ready; NULL, as in all rows that are there: at `submitted`."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("cq", "0002_outcomes"),
    ]

    operations = [
        # Nullable and without a default: PostgreSQL and MariaDB write no row for it.
        migrations.AddField(
            model_name="task",
            name="ready",
            field=models.DateTimeField(blank=True, null=True, verbose_name="ready"),
        ),
    ]
