"""The model of a schedule: what repeats and when."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from cq.conf import conf
from cq.db.clock import database_now
from cq.definitions.options import LONGEST_NAME, LONGEST_QUEUE
from cq.models import Task
from cq_scheduler import cron
from cq_scheduler.declaring.repeat import is_declared
from cq_scheduler.fields import ArgumentsField, site_timezone
from cq_scheduler.timing import when as timing
from cq_scheduler.timing.columns import TICK_COLUMNS, UNPAUSED
from cq_scheduler.timing.misfire import Misfire

from . import validation
from .constraints import CONSTRAINTS, INDEXES
from .slot import slots
from .state import ScheduleState

if TYPE_CHECKING:
    from collections.abc import Collection

NO_SLOT = "there is no slot to come"
_TIMING_COLUMNS = (*timing.COLUMNS, "enabled")


class RepeatingTask(ScheduleState):
    """A schedule: a registered task that is made anew at each of its slots.

    They are those of a cron line, or come every so often, or once.

    Columns that a task has as well are called as they are there: ``name`` is the name
    that the function is registered under.
    """

    Misfire = Misfire
    watched = frozenset(TICK_COLUMNS + _TIMING_COLUMNS)

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
    #: Exactly one of this, `interval` and `at` is given.
    crontab = models.CharField(
        _("crontab"),
        max_length=cron.MAX_LENGTH,
        default="",
        blank=True,
        help_text=_("Minute, hour, day of month, month, day of week; or @daily."),
    )
    interval = models.DurationField(
        _("interval"),
        null=True,
        blank=True,
        help_text=_("Instead of a cron line; from slot to slot: 01:30:00"),
    )
    #: What an interval counts from.
    anchor = models.DateTimeField(_("anchor"), null=True, blank=True)
    at = models.DateTimeField(
        _("at"), null=True, blank=True, help_text=_("Instead of a cron line; once.")
    )
    timezone = models.CharField(_("time zone"), max_length=100, default=site_timezone)
    #: No slot is before the one or after the other; a slot may be right at either.
    start_after = models.DateTimeField(_("start"), null=True, blank=True)
    end_after = models.DateTimeField(_("end"), null=True, blank=True)
    jitter = models.PositiveIntegerField(
        _("jitter"),
        default=0,
        validators=[MaxValueValidator(timing.LONGEST_JITTER_SECONDS)],
        help_text=_(
            "In seconds: it comes so much later at most, always by the same amount."
        ),
    )
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
    #: Where this or one of the next two is empty, the task's own option holds.
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
    #: What its tasks take along, see `cq.hooks.context`; None: nothing.
    context = models.JSONField(null=True, editable=False)
    #: What `@repeat` in code knows its row by; None: made elsewhere.
    key = models.CharField(  # noqa: DJ001
        max_length=LONGEST_NAME + 100, null=True, unique=True, editable=False
    )

    class Meta:
        db_table = "cq_repeating_tasks"
        verbose_name = _("repeating task")
        verbose_name_plural = _("repeating tasks")
        ordering = ("name", "pk")
        permissions = (
            ("run_repeatingtask", "Can run a repeating task by hand"),
            ("pause_repeatingtask", "Can pause and resume a repeating task"),
        )
        constraints = CONSTRAINTS
        indexes = INDEXES

    def __str__(self) -> str:
        return f"{self.name} ({self.when})"

    @property
    def when(self) -> str:
        """The cron line, or what stands for it."""
        return timing.in_words(self)

    @property
    def in_code(self) -> bool:
        """Whether a ``@repeat`` owns it: what that says is written over the row."""
        return self.key is not None

    @property
    def declared(self) -> bool:
        """Whether the code that is loaded has its ``@repeat``."""
        return self.key is not None and is_declared(self.key)

    def runs(self) -> models.QuerySet[Task]:
        """Return the tasks that it has made, the newest first.

        It knows them for a week, and the last one for as long as the task is kept.
        """
        using = self._state.db or conf.DATABASE
        made = slots(using).filter(schedule=self.pk)
        return (
            Task.objects.using(using).filter(pk__in=made.values("task")).order_by("-id")
        )

    # --- rows -------------------------------------------------------------------------

    def save(self, **options: Any) -> None:
        """Write the row, with its next slot where what says when is new.

        What only ticks change is left as they have it by now. One that is enabled is
        not paused any more; one that has no slot to come is disabled. Raises CronError
        for a line that doesn't fire, or a zone that is not known.
        """
        using = options.setdefault("using", self._state.db or conf.DATABASE)
        names = options.get("update_fields")
        new = self._state.adding or self.pk is None
        self.set_anchor(using)
        retimed = self._retime(
            using, new, _TIMING_COLUMNS if names is None else set(names)
        )
        if names is not None:
            options["update_fields"] = {*names, *retimed}
        elif not new and not options.get("force_insert"):
            options["update_fields"] = self._changed()
        with transaction.atomic(using=using, savepoint=False):
            super().save(**options)
            if new and retimed and self.jitter and self.next_run is not None:
                # The jitter goes by the id, which the row has only now.
                self.next_run += timing.delay(self)
                super().save(using=using, update_fields=["next_run"])
        self.remember(self.watched)

    def set_anchor(self, using: str | None = None) -> None:
        """Let an interval count from its start, or from now by a database's clock."""
        if "interval" in self.get_deferred_fields():
            return
        if self.interval is None:
            self.anchor = None
        elif self.anchor is None:
            now = database_now(using) if using else timezone.now()
            self.anchor = self.start_after or now

    def _retime(self, using: str, new: bool, names: Collection[str]) -> Collection[str]:
        """Find the next slot if it isn't known any more; return the columns that changed."""
        changed = {name for name in _TIMING_COLUMNS if name in names}
        if not new:
            changed = {name for name in changed if self.differs(name)}
        if not changed.isdisjoint(timing.COLUMNS):
            timing.check(self)
        given = self.next_run is not None if new else self.differs("next_run")
        if not changed:
            return ()
        if self.enabled:
            for name, value in UNPAUSED.items():
                setattr(self, name, value)
        if given:
            return ("anchor", *UNPAUSED)
        slot = timing.first_slot(self, database_now(using)) if self.enabled else None
        self.last_error = NO_SLOT if self.enabled and slot is None else ""
        self.enabled = slot is not None
        delay = timedelta() if new else timing.delay(self)
        self.next_run = None if slot is None else slot + delay
        return ("anchor", "enabled", "next_run", "last_error", *UNPAUSED)

    def _changed(self) -> list[str]:
        """Return all columns that are loaded, but for what ticks may have moved."""
        deferred = self.get_deferred_fields()
        return [
            field.attname
            for field in self._meta.concrete_fields
            if not field.primary_key
            and field.attname not in deferred
            and (field.attname not in TICK_COLUMNS or self.differs(field.attname))
        ]

    # --- what it holds ---------------------------------------------------------------

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        """Raise ValidationError, by field, for what could not run at its time."""
        exclude = set(exclude or ())
        self.set_anchor()
        errors: dict[str, Any] = {}
        try:
            # Without the arguments: Django would read them, also those that can't be.
            super().clean_fields(exclude=exclude | {"args", "kwargs"})
        except ValidationError as error:
            errors = error.update_error_dict(errors)
        errors |= validation.errors_by_field(self, exclude | set(errors))
        if errors:
            raise ValidationError(errors)

    def clean(self) -> None:
        """Raise ValidationError when the arguments don't fit the task."""
        validation.check_call(self)

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return args and kwargs; raises CodecError for what cannot be read."""
        args: Any = self._meta.get_field("args")
        kwargs: Any = self._meta.get_field("kwargs")
        return args.value(self.args), kwargs.value(self.kwargs)

    def next_slot(self, after: datetime) -> datetime | None:
        """Return its first slot strictly after a moment, in UTC; None: it is over.

        Raises CronError.
        """
        return timing.next_slot(self, after)


def schedules(using: str) -> models.QuerySet[RepeatingTask]:
    """Return all schedules, without the order that `Meta` gives people."""
    return RepeatingTask._base_manager.using(using).order_by()


def enabled(using: str) -> models.QuerySet[RepeatingTask]:
    """Return those that make tasks."""
    # SQLite uses no index for `enabled=True`.
    return schedules(using).filter(enabled__in=[True])
