from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Effect",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("task", models.UUIDField(db_index=True)),
                ("name", models.CharField(max_length=50)),
                ("atomic", models.BooleanField()),
                ("fence", models.IntegerField()),
                ("attempt", models.IntegerField()),
                ("process", models.IntegerField()),
                ("made", models.DateTimeField(db_default=Now())),
            ],
        ),
        migrations.CreateModel(
            name="Stay",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("key", models.CharField(max_length=50)),
                ("task", models.UUIDField()),
                ("fence", models.IntegerField()),
                ("came", models.DateTimeField(db_default=Now())),
                ("went", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="Deed",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("task", models.UUIDField(db_index=True)),
                ("what", models.CharField(max_length=50)),
                ("fence", models.IntegerField(default=0)),
                ("atomic", models.BooleanField(default=True)),
                ("undoable", models.BooleanField(default=False)),
                ("undoes", models.BigIntegerField(null=True)),
                ("made", models.DateTimeField(db_default=Now())),
            ],
        ),
        migrations.CreateModel(
            name="Item",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("task", models.UUIDField(db_index=True)),
                ("counted", models.IntegerField(default=0)),
            ],
        ),
    ]
