"""Tallies for the dashboard, dead letters that are redriven at a rate, and who may see what."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('deliveries', '0008_indexes'),
    ]

    operations = [
        migrations.CreateModel(
            name='Tally',
            fields=[
                ('pk', models.CompositePrimaryKey('span', 'begins_at', 'kind', 'name', 'is_sample', blank=True, editable=False, primary_key=True, serialize=False)),
                ('span', models.SmallIntegerField(choices=[(60, 'a minute'), (3600, 'an hour')], help_text='seconds')),
                ('begins_at', models.DateTimeField()),
                ('kind', models.CharField(choices=[('ended', 'notifications that ended, by status'), ('device', 'their deliveries, by status'), ('code', 'error codes of deliveries, and of notifications without any'), ('latency', 'accepted deliveries, by the class of the seconds since acceptance')], max_length=8)),
                ('name', models.CharField(max_length=64)),
                ('is_sample', models.BooleanField(db_default=False, help_text='made up by the demo')),
                ('count', models.BigIntegerField()),
            ],
            options={
                'verbose_name_plural': 'tallies',
                'db_table': 'tallies',
            },
        ),
        migrations.AlterModelOptions(
            name='notification',
            options={'permissions': [('operate', 'may resend, cancel, redrive, discard, and pause sending'), ('force', 'may send again what was sent already'), ('payload', 'may see what a push says, with its secrets masked'), ('raw', 'may see payloads and device tokens unmasked; each look is in the audit log')]},
        ),
        migrations.AddField(
            model_name='deadletter',
            name='redrive_at',
            field=models.DateTimeField(blank=True, help_text='when it is redriven, as somebody has asked', null=True),
        ),
        migrations.AddField(
            model_name='deadletter',
            name='redrive_by',
            field=models.CharField(blank=True, db_default='', help_text='who asked', max_length=255),
        ),
        migrations.AddField(
            model_name='deadletter',
            name='redrive_reason',
            field=models.TextField(blank=True, db_default='', help_text='why'),
        ),
    ]
