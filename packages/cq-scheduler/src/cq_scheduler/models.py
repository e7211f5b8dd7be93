"""The tables: what repeats and when, and for which moments it has been made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from cq import registry
from cq.clock import database_now
from cq.conf import conf
from cq.errors import CodecError
from cq.options import LONGEST_NAME, LONGEST_QUEUE, check_queue

from . import cron
from .fields import ArgumentsField, site_timezone
from .misfire import Misfire

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from datetime import datetime

#: Written by ticks; a save of the rest leaves them alone.
_OF_TICKS = ("last_run", "next_run", "last_error")
_TIMING = ("crontab", "timezone", "enabled")
_WATCHED = frozenset(_OF_TICKS + _TIMING)


class RepeatingTask(models.Model):
    """A registered task that is made anew at each slot of a cron line.

    Columns that a task has as well are called as they are there: ``name`` is the name
    that the function is registered under.
    """

    Misfire = Misfire

    name = models.CharField(_("task"), max_length=LONGEST_NAME)
    args = ArgumentsField(
        _("arguments"), default=tuple, blank=True, help_text=_('A list: [1, "a"]')
    )
    kwargs = ArgumentsField(
        _("keyword arguments"),
        default=dict,
        blank=True,
        help_text=_('An object: {"name": "a"}'),
    )
    crontab = models.CharField(
        _("crontab"),
        max_length=cron.MAX_LENGTH,
        help_text=_("Minute, hour, day of month, month, day of week; or @daily."),
    )
    timezone = models.CharField(_("time zone"), max_length=100, default=site_timezone)
    enabled = models.BooleanField(_("enabled"), default=True)
    coalesce = models.BooleanField(
        _("coalesce"),
        default=True,
        help_text=_("While one of its runs is not done, no other is made."),
    )
    misfire = models.CharField(
        _("missed runs"),
        max_length=10,
        choices=Misfire.choices,
        default=Misfire.LATEST,
        help_text=_("To make up for more than one, it must not coalesce."),
    )
    #: Empty here and in the next two: as the task itself has it.
    queue = models.CharField(
        _("queue"), max_length=LONGEST_QUEUE, default="", blank=True
    )
    priority = models.SmallIntegerField(
        _("priority"),
        null=True,
        blank=True,
        validators=[MinValueValidator(-100), MaxValueValidator(100)],
    )
    result_ttl = models.FloatField(
        _("time to live"),
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text=_("In seconds."),
    )
    #: The last slot that a task was made for.
    last_run = models.DateTimeField(_("last run"), null=True, editable=False)
    #: The slot to come. None while enabled: the next tick finds it.
    next_run = models.DateTimeField(_("next run"), null=True, editable=False)
    last_error = models.TextField(
        _("last error"), default="", blank=True, editable=False
    )
    #: What `@repeat` in code knows its row by; None: made elsewhere.
    key = models.CharField(  # noqa: DJ001
        max_length=LONGEST_NAME + 100, null=True, unique=True, editable=False
    )

    class Meta:
        db_table = "cq_repeating_tasks"
        verbose_name = _("repeating task")
        verbose_name_plural = _("repeating tasks")
        ordering = ("name", "pk")
        constraints = (
            models.CheckConstraint(
                name="cq_schedule_priority_range",
                condition=Q(priority__isnull=True) | Q(priority__range=(-100, 100)),
            ),
        )
        indexes = (
            models.Index(fields=["enabled", "next_run"], name="cq_schedule_due"),
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.crontab})"

    # --- rows -------------------------------------------------------------------------

    def save(self, **options: Any) -> None:
        """Write the row, with its next slot where the line, the zone or `enabled` is new.

        What only ticks change is left as they have it by now. Raises CronError for a
        line that doesn't fire, or a zone that is not known.
        """
        using = options.setdefault("using", self._state.db or conf.DATABASE)
        names = options.get("update_fields")
        new = self._state.adding or self.pk is None
        retimed = self._retime(using, new, _TIMING if names is None else set(names))
        if names is not None:
            options["update_fields"] = {*names, *retimed}
        elif not new and not options.get("force_insert"):
            options["update_fields"] = self._changed()
        super().save(**options)
        self._remember(_WATCHED)

    @classmethod
    def from_db(
        cls,
        db: str | None,
        field_names: Collection[str],
        values: Collection[Any],
        **options: Any,  # of later Djangos
    ) -> Self:
        row = super().from_db(db, field_names, values, **options)
        row._remember(_WATCHED)
        return row

    def refresh_from_db(  # type: ignore[override]
        self,
        using: str | None = None,
        fields: Iterable[str] | None = None,
        **options: Any,
    ) -> None:
        names = None if fields is None else list(fields)
        super().refresh_from_db(using, names, **options)
        self._remember(names or _WATCHED)

    def _retime(self, using: str, new: bool, names: Collection[str]) -> Collection[str]:
        """Find the next slot if it isn't known any more; the columns that changed."""
        changed = {name for name in _TIMING if name in names}
        if not new:
            changed = {name for name in changed if self._differs(name)}
        if not changed.isdisjoint(("crontab", "timezone")):
            cron.check(self.crontab)
            cron.zone(self.timezone)
        given = self.next_run is not None if new else self._differs("next_run")
        if not changed or given:
            return ()
        self.next_run = self.next_slot(database_now(using)) if self.enabled else None
        self.last_error = ""
        return ("next_run", "last_error")

    def _changed(self) -> list[str]:
        """The columns to write: all that are loaded, but for what ticks may have moved."""
        deferred = self.get_deferred_fields()
        return [
            field.attname
            for field in self._meta.concrete_fields
            if not field.primary_key
            and field.attname not in deferred
            and (field.attname not in _OF_TICKS or self._differs(field.attname))
        ]

    def _differs(self, name: str) -> bool:
        values = self.__dict__
        stored = values.get("_stored", {})
        return name in values and (name not in stored or values[name] != stored[name])

    def _remember(self, names: Iterable[str]) -> None:
        """Keep what the row holds, to know later what was changed."""
        values = self.__dict__
        stored = values.setdefault("_stored", {})
        for name in names:
            if name in _WATCHED and name in values:
                stored[name] = values[name]

    # --- what it holds ---------------------------------------------------------------

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        """Raise ValidationError, by field, for what could not run at its time."""
        exclude = set(exclude or ())
        errors: dict[str, Any] = {}
        try:
            # Arguments that can't be read could not even be looked at there.
            super().clean_fields(exclude=exclude | {"args", "kwargs"})
        except ValidationError as error:
            errors = error.update_error_dict(errors)
        for name, check in _CHECKS.items():
            if name not in exclude and name not in errors:
                try:
                    check(self)
                except (ValueError, LookupError) as error:
                    errors[name] = [ValidationError(str(error), code="invalid")]
        if errors:
            raise ValidationError(errors)

    def clean(self) -> None:
        """Raise ValidationError when the arguments don't fit the task."""
        try:
            registry.get(self.name).check_arguments(*self.arguments())
        except (LookupError, CodecError):
            return  # clean_fields says so
        except TypeError as error:
            raise ValidationError(str(error), code="arguments") from error

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return args and kwargs; raises CodecError for what cannot be read."""
        args: Any = self._meta.get_field("args")
        kwargs: Any = self._meta.get_field("kwargs")
        return args.value(self.args), kwargs.value(self.kwargs)

    def next_slot(self, after: datetime) -> datetime:
        """Return its first slot strictly after a moment, in UTC; raises CronError."""
        return cron.next_run(self.crontab, after, self.timezone)


def _check_name(row: RepeatingTask) -> None:
    if row.name not in registry.names():
        registry.get(row.name)
        raise ValueError(f"{row.name!r} is a part of cq, which nobody schedules")


def _check_queue(row: RepeatingTask) -> None:
    if row.queue:
        check_queue(row.queue)


#: By column, what raises ValueError or LookupError for a value that can't run.
_CHECKS: dict[str, Callable[[RepeatingTask], object]] = {
    "name": _check_name,
    "args": lambda row: row._meta.get_field("args").encoded(row.args),
    "kwargs": lambda row: row._meta.get_field("kwargs").encoded(row.kwargs),
    "crontab": lambda row: cron.check(row.crontab),
    "timezone": lambda row: cron.zone(row.timezone),
    "queue": _check_queue,
}


class Slot(models.Model):
    """A moment that a schedule has made a task for: never again, whatever the clock.

    Kept for a week, longer than the task itself may be.
    """

    schedule = models.ForeignKey(
        RepeatingTask, models.CASCADE, related_name="slots", db_index=False
    )
    slot = models.DateTimeField(_("slot"))
    #: Its row may have been pruned.
    task = models.ForeignKey(
        "cq.Task",
        models.DO_NOTHING,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    made = models.DateTimeField(_("made"), db_index=True)

    class Meta:
        db_table = "cq_slots"
        ordering = ("schedule", "slot")
        constraints = (
            models.UniqueConstraint(
                fields=["schedule", "slot"], name="cq_one_task_per_slot"
            ),
        )


def schedules(using: str) -> models.QuerySet[RepeatingTask]:
    """All schedules, without the order that `Meta` gives people."""
    return RepeatingTask._base_manager.using(using).order_by()


def slots(using: str) -> models.QuerySet[Slot]:
    return Slot._base_manager.using(using).order_by()
