"""The roles viewer, operator and admin; the audit log's new words, and the indexes by which it is filtered."""

from typing import Any

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

LEDGER = (
    'notification', 'pushdelivery', 'pushattempt', 'deadletter', 'deadtoken', 'worker', 'brake', 'tally', 'apikey',
    'auditentry',
)
VIEWER = [('deliveries', model, f'view_{model}') for model in LEDGER]
OPERATOR = [*VIEWER, ('deliveries', 'notification', 'operate'), ('deliveries', 'notification', 'payload')]
ADMIN = [
    *OPERATOR,
    ('deliveries', 'notification', 'force'),
    ('deliveries', 'notification', 'raw'),
    ('deliveries', 'apikey', 'add_apikey'),
    ('deliveries', 'apikey', 'change_apikey'),
    *(('auth', model, f'{verb}_{model}') for model in ('user', 'group') for verb in ('view', 'add', 'change')),
]
ROLES = {'viewer': VIEWER, 'operator': OPERATOR, 'admin': ADMIN}


def make_roles(apps: Any, _schema_editor: Any) -> None:
    """Makes those that are not there: what people have made of a role of that name stays theirs."""
    Group = apps.get_model('auth', 'Group')
    for name, permissions in ROLES.items():
        role, is_new = Group.objects.get_or_create(name=name)
        if is_new:
            role.permissions.set([_permission(apps, *permission) for permission in permissions])


def take_roles(apps: Any, _schema_editor: Any) -> None:
    """Takes those away that nobody has and nobody has changed."""
    Group = apps.get_model('auth', 'Group')
    for name, permissions in ROLES.items():
        for role in Group.objects.filter(name=name, user=None):
            if set(role.permissions.values_list('codename', flat=True)) == {codename for *_, codename in permissions}:
                role.delete()


def _permission(apps: Any, app_label: str, model: str, codename: str) -> Any:
    """The permission, made where Django, which makes them after all migrations, has not yet: under the name it gives."""
    options = apps.get_model(app_label, model)._meta
    content_type, _ = apps.get_model('contenttypes', 'ContentType').objects.get_or_create(
        app_label=app_label, model=model
    )
    name = dict(options.permissions).get(codename) or f"Can {codename.split('_')[0]} {options.verbose_name_raw}"
    permission, _ = apps.get_model('auth', 'Permission').objects.get_or_create(
        content_type=content_type, codename=codename, defaults={'name': name}
    )
    return permission


class Migration(migrations.Migration):
    atomic = False
    dependencies = [
        ("deliveries", "0012_pauses"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.AlterField(
            model_name='auditentry',
            name='action',
            field=models.CharField(choices=[('resend', 'resend'), ('cancel', 'cancel'), ('redrive', 'redrive'), ('discard', 'discard'), ('stop', 'stop'), ('forget', 'forget'), ('believe', 'believe'), ('lift', 'lift'), ('pause', 'pause'), ('resume', 'resume'), ('look', 'look at it raw'), ('export', 'export'), ('key made', 'key made'), ('key revoked', 'key revoked'), ('user made', 'user made'), ('user changed', 'user changed'), ('user deleted', 'user deleted'), ('role made', 'role made'), ('role changed', 'role changed'), ('role deleted', 'role deleted')], max_length=16),
        ),
        AddIndexConcurrently(
            model_name='auditentry', index=models.Index(fields=['action', '-at'], name='audit_action')
        ),
        AddIndexConcurrently(
            model_name='auditentry', index=models.Index(fields=['actor', '-at'], name='audit_actor')
        ),
        migrations.RunPython(make_roles, take_roles, atomic=True),
    ]
