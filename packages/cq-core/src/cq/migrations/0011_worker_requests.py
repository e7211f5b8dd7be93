"""What workers say of themselves, and what somebody asks of them."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("cq", "0010_public_lines"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="worker",
            options={
                "ordering": ("id",),
                "permissions": (("control_worker", "Can quiet and restart workers"),),
                "verbose_name": "worker",
                "verbose_name_plural": "workers",
            },
        ),
        migrations.AddField(
            model_name="worker",
            name="versions",
            field=models.JSONField(blank=True, null=True, verbose_name="versions"),
        ),
        migrations.AddField(
            model_name="worker",
            name="memory",
            field=models.BigIntegerField(blank=True, null=True, verbose_name="memory"),
        ),
        migrations.AddField(
            model_name="worker",
            name="state",
            field=models.CharField(blank=True, db_default="", default="", max_length=10),
        ),
        migrations.AddField(
            model_name="worker",
            name="answers",
            field=models.JSONField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="worker",
            name="asked",
            field=models.CharField(blank=True, max_length=10, null=True),
        ),
        migrations.AddField(
            model_name="worker",
            name="asked_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
