"""The overview and the queues, which are pages of the admin and have permissions."""

from django.db import migrations


def page(name, base, singular, plural):
    return migrations.CreateModel(
        name=name,
        fields=[],
        options={
            "proxy": True,
            "default_permissions": ("view",),
            "verbose_name": singular,
            "verbose_name_plural": plural,
            "indexes": [],
            "constraints": [],
        },
        bases=(base,),
    )


class Migration(migrations.Migration):

    dependencies = [
        ("cq", "0007_figures"),
    ]

    operations = [
        page("Overview", "cq.figure", "overview", "Overview"),
        page("Queue", "cq.depth", "queue", "queues"),
    ]
