"""Which task takes a step back, and which one has done so."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):

    dependencies = [
        ("cq", "0020_steps"),
    ]

    operations = [
        migrations.AddField(
            model_name="step",
            name="undo",
            field=models.CharField(db_column="undo_task", max_length=255, null=True),
        ),
        migrations.AddField(
            model_name="step",
            name="undone_by",
            field=models.UUIDField(null=True),
        ),
        migrations.AddIndex(
            model_name="step",
            index=models.Index(
                fields=["task", "undone_by"],
                name="cq_step_undo",
                condition=Q(undo__isnull=False),
            ),
        ),
    ]
