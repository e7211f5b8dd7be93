"""Views of the list of tasks that people keep, and the permission to share one."""

from django.db import migrations, models


def fit_mysql(apps, schema_editor):
    """Compare names exactly, whatever the database's collation; any text may be in one."""
    connection = schema_editor.connection
    if connection.vendor != "mysql":
        return
    exact = "utf8mb4_nopad_bin" if connection.mysql_is_mariadb else "utf8mb4_0900_bin"
    schema_editor.execute(
        f"ALTER TABLE cq_views CONVERT TO CHARACTER SET utf8mb4 COLLATE {exact}"
    )


class Migration(migrations.Migration):

    dependencies = [
        ("cq", "0013_tags"),
    ]

    operations = [
        migrations.CreateModel(
            name="SavedView",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=100, verbose_name="name")),
                ("query", models.TextField()),
                ("owner", models.CharField(max_length=100)),
                ("shared", models.BooleanField(db_default=False, default=False)),
            ],
            options={
                "db_table": "cq_views",
                "verbose_name": "saved view",
                "verbose_name_plural": "saved views",
                "default_permissions": (),
                "permissions": (
                    ("share_view", "Can share views of the list of tasks"),
                ),
                "abstract": False,
                "constraints": [
                    models.UniqueConstraint(
                        fields=["owner", "name"], name="cq_view_name"
                    )
                ],
                "indexes": [
                    models.Index(fields=["owner", "id"], name="cq_view_owner"),
                    models.Index(fields=["shared", "id"], name="cq_view_shared"),
                ],
            },
        ),
        # MySQL changes no table inside a transaction.
        migrations.RunPython(fit_mysql, migrations.RunPython.noop, atomic=False),
    ]
