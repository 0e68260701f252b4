"""Brakes for all processes to see, tokens that are remembered, and targets that are no tokens."""

import django.contrib.postgres.fields
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('deliveries', '0006_crashes'),
    ]

    operations = [
        migrations.CreateModel(
            name='Brake',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('key', models.CharField(help_text='what it holds for, as sends look for it', max_length=128, unique=True)),
                ('scope', models.CharField(choices=[('project', 'project: everything that this provider sends'), ('device', 'device: pushes to one device'), ('topic', 'topic: pushes to one topic'), ('process', 'process: everything that one worker process sends')], max_length=8)),
                ('subject', models.TextField(help_text='what it holds for, for people: no whole token')),
                ('provider', models.CharField(max_length=32)),
                ('code', models.CharField(help_text="the provider's own word for it", max_length=64)),
                ('advice', models.TextField(help_text='what happened and what to do, in plain words')),
                ('notification_id', models.CharField(help_text='whose send met it first', max_length=255)),
                ('set_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('until', models.DateTimeField(help_text='nothing is sent before')),
                ('round', models.BigIntegerField(help_text='names this pause; whoever has a place in it may pass when its time comes')),
                ('earlier_rounds', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), db_default=[], help_text='pauses of before, in which some may still have places', size=None)),
                ('lifted', models.BooleanField(db_default=False, help_text='whoever has a place in an earlier round is being woken up')),
                ('taken', models.FloatField(db_default=0.0, help_text='seconds after `until` up to which places are given away')),
                ('taken_urgent', models.FloatField(db_default=0.0, help_text='the same on the lane of high priority')),
                ('pace', models.FloatField(help_text='sends per second that it climbs to in a minute; halved by a pause on the ramp')),
                ('full_pace', models.FloatField(help_text='sends per second that it climbs to at last')),
            ],
            options={
                'db_table': 'brakes',
                'indexes': [models.Index(condition=models.Q(('lifted', True)), fields=['lifted'], name='brakes_lifted')],
            },
        ),
        migrations.AddField(
            model_name='deadtoken',
            name='fate',
            field=models.CharField(choices=[('dead', 'dead: gone for good'), ('quarantined', "quarantined: another project's, perhaps")], db_default='dead', max_length=11),
        ),
        migrations.AddField(
            model_name='deadtoken',
            name='held_at',
            field=models.DateTimeField(blank=True, help_text='when too many tokens died at once for this to be believed: it is tried, and nobody is told', null=True),
        ),
        migrations.AddField(
            model_name='deadtoken',
            name='remembered_until',
            field=models.DateTimeField(blank=True, help_text='until when it is not tried again', null=True),
        ),
        migrations.AddField(
            model_name='pushdelivery',
            name='brake_round',
            field=models.BigIntegerField(blank=True, help_text='the brake on whose ramp it has a place', null=True),
        ),
        migrations.AddField(
            model_name='pushdelivery',
            name='target',
            field=models.CharField(db_default='token', help_text='what its device_token is: a token, a fid, a topic or a subscription', max_length=12),
        ),
        migrations.AlterField(
            model_name='auditentry',
            name='action',
            field=models.CharField(choices=[('resend', 'resend'), ('cancel', 'cancel'), ('redrive', 'redrive'), ('discard', 'discard'), ('forget', 'forget'), ('believe', 'believe'), ('lift', 'lift'), ('key made', 'key made'), ('key revoked', 'key revoked')], max_length=16),
        ),
    ]
