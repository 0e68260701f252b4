"""Words for pauses that operators make, in brakes and the audit log; and how many threads of a worker are alive."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("deliveries", "0011_lists")]

    operations = [
        migrations.AddField(
            model_name='worker',
            name='threads_alive',
            field=models.SmallIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='worker',
            name='threads_expected',
            field=models.SmallIntegerField(blank=True, help_text='without one of them it would end itself: see the watchdog', null=True),
        ),
        migrations.AlterField(
            model_name='auditentry',
            name='action',
            field=models.CharField(choices=[('resend', 'resend'), ('cancel', 'cancel'), ('redrive', 'redrive'), ('discard', 'discard'), ('forget', 'forget'), ('believe', 'believe'), ('lift', 'lift'), ('pause', 'pause'), ('resume', 'resume'), ('key made', 'key made'), ('key revoked', 'key revoked')], max_length=16),
        ),
        migrations.AlterField(
            model_name='brake',
            name='scope',
            field=models.CharField(choices=[('project', 'project: everything that this provider sends'), ('device', 'device: pushes to one device'), ('topic', 'topic: pushes to one topic'), ('process', 'process: everything that one worker process sends'), ('operator', 'operator: everything that this provider sends, until a person resumes it')], max_length=8),
        ),
    ]
