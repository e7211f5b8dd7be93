"""The tables of cq. An old ``cq_task`` of the first django-cq is left alone."""

import cq.fields
import cq.ids
import django.db.models.deletion
from django.db import migrations, models


def tune_autovacuum(apps, schema_editor):
    """Vacuum by a number of dead rows, not by a share of a table that only grows."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            "ALTER TABLE cq_tasks SET (autovacuum_vacuum_scale_factor = 0, "
            "autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0)"
        )
        schema_editor.execute("ALTER TABLE cq_workers SET (fillfactor = 50)")


#: No index of MySQL is of some rows only, or, of MariaDB, over an expression: what is a
#: condition elsewhere comes first here. None: another one has these columns already.
MYSQL_INDEXES = {
    "cq_tasks": {
        "cq_ready": "status, queue, priority, id",
        "cq_due": "status, run_after",
        "cq_expiring": "status, expires",
        "cq_open_children": "parent_id, counted, status",
        "cq_prunable": "parent_id, result_ttl, finished",
        "cq_failed_children": None,
        "cq_waiting": None,
        "cq_pending": None,
    },
    # The one that it is there for is made later, when the migration has ended.
    "cq_edges": {"cq_edge_met": "met, task_id"},
}


def fit_mysql(apps, schema_editor):
    """Compare names exactly, whatever the database's collation; index by the status."""
    connection = schema_editor.connection
    if connection.vendor != "mysql":
        return
    for table in ("cq_tasks", "cq_logs", "cq_workers"):
        # Any text may be in an error or a log.
        schema_editor.execute(f"ALTER TABLE {table} CONVERT TO CHARACTER SET utf8mb4")
    exact = "utf8mb4_nopad_bin" if connection.mysql_is_mariadb else "utf8mb4_0900_bin"
    text = f"CHARACTER SET utf8mb4 COLLATE {exact}"
    schema_editor.execute(
        "ALTER TABLE cq_tasks "
        f"MODIFY name varchar(200) {text} NOT NULL, "
        f"MODIFY queue varchar(100) {text} NOT NULL, "
        f"MODIFY unique_key varchar(200) {text} NULL"
    )
    for table, indexes in MYSQL_INDEXES.items():
        with connection.cursor() as cursor:
            there = connection.introspection.get_constraints(cursor, table)
        changes = [f"DROP INDEX {name}" for name in indexes if name in there]
        changes += [f"ADD INDEX {name} ({of})" for name, of in indexes.items() if of]
        schema_editor.execute(f"ALTER TABLE {table} {', '.join(changes)}")


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Worker',
            fields=[
                ('id', models.BigIntegerField(primary_key=True, serialize=False)),
                ('kind', models.CharField(max_length=10, verbose_name='kind')),
                ('host', models.CharField(max_length=255, verbose_name='host')),
                ('pid', models.IntegerField(verbose_name='process id')),
                ('queues', models.JSONField(blank=True, null=True, verbose_name='queues')),
                ('slots', models.IntegerField(default=1, verbose_name='slots')),
                ('started', models.DateTimeField(verbose_name='started')),
                ('last_seen', models.DateTimeField(verbose_name='last seen')),
                ('locked', models.BooleanField(db_default=False, default=False)),
            ],
            options={
                'verbose_name': 'worker',
                'verbose_name_plural': 'workers',
                'db_table': 'cq_workers',
                'ordering': ('id',),
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='Task',
            fields=[
                ('id', models.UUIDField(default=cq.ids.uuid7, editable=False, primary_key=True, serialize=False, verbose_name='id')),
                ('name', models.CharField(max_length=200, verbose_name='name')),
                ('args', cq.fields.EncodedField(default='[]', verbose_name='arguments')),
                ('kwargs', cq.fields.EncodedField(default='{}', verbose_name='keyword arguments')),
                ('queue', models.CharField(default='default', max_length=100, verbose_name='queue')),
                ('priority', models.SmallIntegerField(db_default=0, default=0, verbose_name='priority')),
                ('status', models.CharField(choices=[('PENDING', 'pending'), ('QUEUED', 'queued'), ('RUNNING', 'running'), ('RETRY', 'waiting to retry'), ('WAITING', 'waiting for subtasks'), ('COMPLETE', 'complete'), ('FAILURE', 'failed'), ('INCOMPLETE', 'incomplete'), ('LOST', 'lost'), ('REVOKED', 'revoked'), ('EXPIRED', 'expired'), ('SKIPPED', 'skipped')], default='PENDING', max_length=10, verbose_name='status')),
                ('run_after', models.DateTimeField(blank=True, null=True, verbose_name='not before')),
                ('expires', models.DateTimeField(blank=True, null=True, verbose_name='expires')),
                ('submitted', models.DateTimeField(verbose_name='submitted')),
                ('started', models.DateTimeField(blank=True, null=True, verbose_name='started')),
                ('finished', models.DateTimeField(blank=True, null=True, verbose_name='finished')),
                ('depth', models.SmallIntegerField(db_default=0, default=0)),
                ('counted', models.BooleanField(db_default=True, default=True)),
                ('open_children', models.IntegerField(db_default=0, default=0)),
                ('open_edges', models.IntegerField(db_default=0, default=0)),
                ('outcome', models.CharField(blank=True, max_length=10, null=True)),
                ('result', cq.fields.EncodedField(blank=True, null=True, verbose_name='result')),
                ('result_from', models.UUIDField(blank=True, null=True)),
                ('error', models.TextField(blank=True, null=True, verbose_name='error')),
                ('exception', models.CharField(blank=True, max_length=255, null=True, verbose_name='exception')),
                ('traceback', models.TextField(blank=True, null=True, verbose_name='traceback')),
                ('fence', models.IntegerField(db_default=0, default=0)),
                ('attempts', models.IntegerField(db_default=0, default=0, verbose_name='attempts')),
                ('failures', models.IntegerField(db_default=0, default=0)),
                ('losses', models.IntegerField(db_default=0, default=0, verbose_name='losses')),
                ('unique_key', models.CharField(blank=True, max_length=200, null=True, unique=True, verbose_name='unique key')),
                ('rerun_lost', models.BooleanField(db_default=True, default=True)),
                ('result_ttl', models.FloatField(blank=True, null=True, verbose_name='time to live')),
                ('options', models.JSONField(blank=True, null=True)),
                ('log_lines', models.IntegerField(db_default=0, default=0)),
                ('progress_done', models.FloatField(blank=True, null=True)),
                ('progress_total', models.FloatField(blank=True, null=True)),
                ('progress_message', models.CharField(blank=True, db_default='', default='', max_length=200)),
                ('parent', models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='subtasks', to='cq.task', verbose_name='parent')),
                ('previous', models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='cq.task', verbose_name='chained to')),
                ('root', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='cq.task', verbose_name='top-level task')),
                ('worker', models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='tasks', to='cq.worker', verbose_name='worker')),
            ],
            options={
                'verbose_name': 'task',
                'verbose_name_plural': 'tasks',
                'db_table': 'cq_tasks',
                'ordering': ('-id',),
                'permissions': (('retry_task', 'Can retry tasks'), ('revoke_task', 'Can revoke tasks')),
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='Edge',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('position', models.IntegerField(blank=True, null=True)),
                ('when', models.CharField(default='complete', max_length=8)),
                ('met', models.BooleanField(blank=True, null=True)),
                ('depends_on', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='cq.task')),
                ('task', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='edges', to='cq.task')),
            ],
            options={
                'db_table': 'cq_edges',
                'abstract': False,
                'indexes': [models.Index(fields=['task', 'position'], name='cq_edge_task'), models.Index(fields=['depends_on'], name='cq_edge_upstream'), models.Index(condition=models.Q(('met__isnull', True)), fields=['task'], name='cq_edge_open')],
                'constraints': [models.CheckConstraint(condition=models.Q(('task', models.F('depends_on')), _negated=True), name='cq_edge_not_itself')],
            },
        ),
        migrations.CreateModel(
            name='TaskLog',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('number', models.IntegerField()),
                ('attempt', models.IntegerField(db_default=0, default=0)),
                ('level', models.SmallIntegerField()),
                ('time', models.DateTimeField()),
                ('message', models.TextField()),
                ('root', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='cq.task')),
                ('task', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='cq.task')),
            ],
            options={
                'db_table': 'cq_logs',
                'ordering': ('root', 'number'),
                'abstract': False,
                'indexes': [models.Index(fields=['task', 'number'], name='cq_log_task')],
                'constraints': [models.UniqueConstraint(fields=('root', 'number'), name='cq_log_number')],
            },
        ),
        migrations.AddIndex(
            model_name='task',
            index=models.Index(models.F('queue'), models.OrderBy(models.F('priority'), descending=True), models.F('id'), condition=models.Q(('status', 'QUEUED')), name='cq_ready'),
        ),
        migrations.AddIndex(
            model_name='task',
            index=models.Index(condition=models.Q(('run_after__isnull', False), ('status__in', ['PENDING', 'RETRY'])), fields=['run_after'], name='cq_due'),
        ),
        migrations.AddIndex(
            model_name='task',
            index=models.Index(condition=models.Q(('expires__isnull', False), ('status__in', ['PENDING', 'QUEUED'])), fields=['expires'], name='cq_expiring'),
        ),
        migrations.AddIndex(
            model_name='task',
            index=models.Index(condition=models.Q(('worker__isnull', False)), fields=['worker'], name='cq_running'),
        ),
        migrations.AddIndex(
            model_name='task',
            index=models.Index(condition=models.Q(('status', 'WAITING')), fields=['id'], name='cq_waiting'),
        ),
        migrations.AddIndex(
            model_name='task',
            index=models.Index(condition=models.Q(('status', 'PENDING')), fields=['id'], name='cq_pending'),
        ),
        migrations.AddIndex(
            model_name='task',
            index=models.Index(condition=models.Q(('parent__isnull', False)), fields=['parent', 'id'], name='cq_children'),
        ),
        migrations.AddIndex(
            model_name='task',
            index=models.Index(condition=models.Q(('counted', True), ('parent__isnull', False), ('status__in', ['PENDING', 'QUEUED', 'RETRY', 'RUNNING', 'WAITING'])), fields=['parent'], name='cq_open_children'),
        ),
        migrations.AddIndex(
            model_name='task',
            index=models.Index(condition=models.Q(('counted', True), ('parent__isnull', False), ('status__in', ['EXPIRED', 'FAILURE', 'INCOMPLETE', 'LOST', 'REVOKED'])), fields=['parent'], name='cq_failed_children'),
        ),
        migrations.AddIndex(
            model_name='task',
            index=models.Index(condition=models.Q(('parent__isnull', False)), fields=['root', 'id'], name='cq_tree'),
        ),
        migrations.AddIndex(
            model_name='task',
            index=models.Index(condition=models.Q(('finished__isnull', False), ('parent__isnull', True), ('result_ttl__isnull', False)), fields=['result_ttl', 'finished'], name='cq_prunable'),
        ),
        migrations.AddConstraint(
            model_name='task',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('finished__isnull', False), ('status__in', ['COMPLETE', 'EXPIRED', 'FAILURE', 'INCOMPLETE', 'LOST', 'REVOKED', 'SKIPPED'])), models.Q(('finished__isnull', True), ('status__in', ['PENDING', 'QUEUED', 'RETRY', 'RUNNING', 'WAITING'])), _connector='OR'), name='cq_finished_when_final'),
        ),
        migrations.AddConstraint(
            model_name='task',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status', 'RUNNING'), ('worker__isnull', False)), models.Q(models.Q(('status', 'RUNNING'), _negated=True), ('worker__isnull', True)), _connector='OR'), name='cq_worker_when_running'),
        ),
        migrations.AddConstraint(
            model_name='task',
            constraint=models.CheckConstraint(condition=models.Q(('unique_key__isnull', True), ('status__in', ['PENDING', 'QUEUED', 'RETRY', 'RUNNING', 'WAITING']), _connector='OR'), name='cq_unique_key_when_open'),
        ),
        migrations.AddConstraint(
            model_name='task',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status', 'RETRY'), _negated=True), ('run_after__isnull', False), _connector='OR'), name='cq_retry_has_time'),
        ),
        migrations.AddConstraint(
            model_name='task',
            constraint=models.CheckConstraint(condition=models.Q(('priority__range', (-100, 100))), name='cq_priority_range'),
        ),
        migrations.AddConstraint(
            model_name='task',
            constraint=models.CheckConstraint(condition=models.Q(('fence__gte', 0)), name='cq_fence_not_negative'),
        ),
        migrations.RunPython(tune_autovacuum, migrations.RunPython.noop),
        # MySQL changes no table inside a transaction.
        migrations.RunPython(fit_mysql, migrations.RunPython.noop, atomic=False),
    ]
