from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("cq_scheduler", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="repeatingtask",
            name="context",
            field=models.JSONField(null=True, editable=False),
        ),
    ]
