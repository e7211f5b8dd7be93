"""Schedules, and the slots that have been made."""

import cq_scheduler.fields
import datetime
import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


def fit_mysql(apps, schema_editor):
    """Tell keys apart exactly, whatever the database's collation."""
    connection = schema_editor.connection
    if connection.vendor != "mysql":
        return
    table = "ALTER TABLE cq_repeating_tasks"
    schema_editor.execute(f"{table} CONVERT TO CHARACTER SET utf8mb4")
    exact = "utf8mb4_nopad_bin" if connection.mysql_is_mariadb else "utf8mb4_0900_bin"
    schema_editor.execute(
        f"{table} MODIFY `key` varchar(300) CHARACTER SET utf8mb4 COLLATE {exact} NULL"
    )


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('cq', '0001_tasks'),
    ]

    operations = [
        migrations.CreateModel(
            name='RepeatingTask',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('last_run', models.DateTimeField(editable=False, null=True, verbose_name='last run')),
                ('next_run', models.DateTimeField(editable=False, null=True, verbose_name='next run')),
                ('last_error', models.TextField(blank=True, default='', editable=False, verbose_name='last error')),
                ('missed_from', models.DateTimeField(editable=False, null=True, verbose_name='missed from')),
                ('missed_until', models.DateTimeField(editable=False, null=True, verbose_name='missed until')),
                ('last_coalesced', models.DateTimeField(editable=False, null=True, verbose_name='last coalesced')),
                ('paused_at', models.DateTimeField(editable=False, null=True, verbose_name='paused')),
                ('paused_by', models.CharField(default='', editable=False, max_length=150, verbose_name='paused by')),
                ('pause_reason', models.TextField(default='', editable=False, verbose_name='reason')),
                ('paused_until', models.DateTimeField(editable=False, null=True, verbose_name='paused until')),
                ('name', models.CharField(max_length=200, verbose_name='task')),
                ('args', cq_scheduler.fields.ArgumentsField(blank=True, default=tuple, help_text='A list: [1, "a"]', verbose_name='arguments')),
                ('kwargs', cq_scheduler.fields.ArgumentsField(blank=True, default=dict, help_text='An object: {"name": "a"}', verbose_name='keyword arguments')),
                ('crontab', models.CharField(blank=True, default='', help_text='Minute, hour, day of month, month, day of week; or @daily.', max_length=256, verbose_name='crontab')),
                ('interval', models.DurationField(blank=True, help_text='Instead of a cron line; from slot to slot: 01:30:00', null=True, verbose_name='interval')),
                ('anchor', models.DateTimeField(blank=True, null=True, verbose_name='anchor')),
                ('at', models.DateTimeField(blank=True, help_text='Instead of a cron line; once.', null=True, verbose_name='at')),
                ('timezone', models.CharField(default=cq_scheduler.fields.site_timezone, max_length=100, verbose_name='time zone')),
                ('start_after', models.DateTimeField(blank=True, null=True, verbose_name='start')),
                ('end_after', models.DateTimeField(blank=True, null=True, verbose_name='end')),
                ('jitter', models.PositiveIntegerField(default=0, help_text='In seconds: it comes so much later at most, always by the same amount.', validators=[django.core.validators.MaxValueValidator(86400)], verbose_name='jitter')),
                ('enabled', models.BooleanField(default=True, verbose_name='enabled')),
                ('coalesce', models.BooleanField(default=True, help_text='While one of its runs is not done, no other is made.', verbose_name='coalesce')),
                ('misfire', models.CharField(choices=[('latest', 'one run, for the latest'), ('skip', 'none'), ('all', 'one run each')], default='latest', help_text='To make up for more than one, it must not coalesce.', max_length=10, verbose_name='missed runs')),
                ('queue', models.CharField(blank=True, default='', max_length=100, verbose_name='queue')),
                ('priority', models.SmallIntegerField(blank=True, null=True, validators=[django.core.validators.MinValueValidator(-100), django.core.validators.MaxValueValidator(100)], verbose_name='priority')),
                ('result_ttl', models.FloatField(blank=True, help_text='In seconds.', null=True, validators=[django.core.validators.MinValueValidator(0)], verbose_name='time to live')),
                ('key', models.CharField(editable=False, max_length=300, null=True, unique=True)),
            ],
            options={
                'verbose_name': 'repeating task',
                'verbose_name_plural': 'repeating tasks',
                'db_table': 'cq_repeating_tasks',
                'ordering': ('name', 'pk'),
                'permissions': (('run_repeatingtask', 'Can run a repeating task by hand'), ('pause_repeatingtask', 'Can pause and resume a repeating task')),
                'indexes': [models.Index(fields=['enabled', 'next_run'], name='cq_schedule_due'), models.Index(fields=['paused_until'], name='cq_schedule_pause_over')],
                'constraints': [models.CheckConstraint(condition=models.Q(('priority__isnull', True), ('priority__range', (-100, 100)), _connector='OR'), name='cq_schedule_priority_range'), models.CheckConstraint(condition=models.Q(models.Q(models.Q(('crontab', ''), _negated=True), ('anchor__isnull', True), ('interval__isnull', True), ('at__isnull', True)), models.Q(('crontab', ''), ('anchor__isnull', False), ('interval__gt', datetime.timedelta(0)), ('at__isnull', True)), models.Q(('crontab', ''), ('anchor__isnull', True), ('interval__isnull', True), ('at__isnull', False)), _connector='OR'), name='cq_schedule_one_kind', violation_error_message='Give exactly one: a cron line, an interval or a moment.'), models.CheckConstraint(condition=models.Q(models.Q(('paused_at__isnull', True), ('paused_until__isnull', True)), models.Q(('enabled', False), ('paused_at__isnull', False)), _connector='OR'), name='cq_schedule_paused_is_disabled')],
            },
        ),
        migrations.CreateModel(
            name='Slot',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('slot', models.DateTimeField(verbose_name='slot')),
                ('made', models.DateTimeField(db_index=True, verbose_name='made')),
                ('schedule', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='slots', to='cq_scheduler.repeatingtask')),
                ('task', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='cq.task')),
            ],
            options={
                'db_table': 'cq_slots',
                'ordering': ('schedule', 'slot'),
                'constraints': [models.UniqueConstraint(fields=('schedule', 'slot'), name='cq_one_task_per_slot')],
            },
        ),
        # MySQL changes no table inside a transaction.
        migrations.RunPython(fit_mysql, migrations.RunPython.noop, atomic=False),
    ]
