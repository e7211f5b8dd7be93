"""The tables of django-celery-beat, as they are read; its package need not be there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps.registry import Apps
from django.db import connections, models

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Of their own, so that the project's migrations know nothing of these models.
_apps = Apps()


class TablesMissing(LookupError):
    """The tables of django-celery-beat are not in the database, or are older ones."""


class BeatRow(models.Model):
    """A row of django-celery-beat: never migrated from here, and only read."""

    class Meta:
        abstract = True
        apps = _apps
        app_label = "django_celery_beat"
        managed = False


class Crontab(BeatRow):
    """Five crontab fields, and the zone that they are in."""

    minute = models.CharField(max_length=240)
    hour = models.CharField(max_length=96)
    day_of_month = models.CharField(max_length=124)
    month_of_year = models.CharField(max_length=64)
    day_of_week = models.CharField(max_length=64)
    timezone = models.CharField(max_length=63)

    class Meta(BeatRow.Meta):
        db_table = "django_celery_beat_crontabschedule"


class Interval(BeatRow):
    """So many of a period: days, hours, minutes, seconds or microseconds."""

    every = models.IntegerField()
    period = models.CharField(max_length=24)

    class Meta(BeatRow.Meta):
        db_table = "django_celery_beat_intervalschedule"


class Clocked(BeatRow):
    """One moment."""

    clocked_time = models.DateTimeField()

    class Meta(BeatRow.Meta):
        db_table = "django_celery_beat_clockedschedule"


class Solar(BeatRow):
    """A sunrise or a sunset, of which only the name is read, for the refusal."""

    event = models.CharField(max_length=24)

    class Meta(BeatRow.Meta):
        db_table = "django_celery_beat_solarschedule"


class PeriodicTask(BeatRow):
    """A schedule: exactly one of the four ways to say when is given."""

    name = models.CharField(max_length=200, unique=True)
    task = models.CharField(max_length=200)
    crontab = models.ForeignKey(Crontab, models.DO_NOTHING, null=True)
    interval = models.ForeignKey(Interval, models.DO_NOTHING, null=True)
    clocked = models.ForeignKey(Clocked, models.DO_NOTHING, null=True)
    solar = models.ForeignKey(Solar, models.DO_NOTHING, null=True)
    args = models.TextField()
    kwargs = models.TextField()
    queue = models.CharField(max_length=200, null=True)  # noqa: DJ001
    exchange = models.CharField(max_length=200, null=True)  # noqa: DJ001
    routing_key = models.CharField(max_length=200, null=True)  # noqa: DJ001
    headers = models.TextField()
    priority = models.PositiveIntegerField(null=True)
    expires = models.DateTimeField(null=True)
    expire_seconds = models.PositiveIntegerField(null=True)
    one_off = models.BooleanField()
    start_time = models.DateTimeField(null=True)
    enabled = models.BooleanField()
    last_run_at = models.DateTimeField(null=True)
    total_run_count = models.PositiveIntegerField()
    date_changed = models.DateTimeField()
    description = models.TextField()

    class Meta(BeatRow.Meta):
        db_table = "django_celery_beat_periodictask"


TABLES: tuple[type[models.Model], ...] = (
    Crontab,
    Interval,
    Clocked,
    Solar,
    PeriodicTask,
)


def periodic_tasks(using: str) -> Iterator[PeriodicTask]:
    """Give the rows of django-celery-beat in that database, by name.

    Raises TablesMissing, before the first.
    """
    _check_tables(using)
    rows = PeriodicTask._base_manager.using(using).order_by("name")
    yield from rows.select_related("crontab", "interval", "clocked", "solar")


def _check_tables(using: str) -> None:
    connection = connections[using]
    with connection.cursor() as cursor:
        there = set(connection.introspection.table_names(cursor))
        for model in TABLES:
            table = model._meta.db_table
            if table not in there:
                raise TablesMissing(
                    f"the database {using!r} has no table {table!r}; name the one with "
                    "the tables of django-celery-beat by --database"
                )
            columns: set[Any] = {
                column.name
                for column in connection.introspection.get_table_description(
                    cursor, table
                )
            }
            for field in model._meta.concrete_fields:
                if field.column not in columns:
                    raise TablesMissing(
                        f"{table!r} has no column {field.column!r}; migrate to the "
                        "latest release of django-celery-beat first"
                    )
