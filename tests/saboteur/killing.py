"""A notification whose id begins with `killer-` kills its worker as soon as its user is looked up."""

import os
import signal

from django.apps import AppConfig

#: What a worker is started with to have it.
VARIABLES = {"DJANGO_SETTINGS_MODULE": "tests.saboteur.settings", "SABOTEUR": "tests.saboteur.killing.Killing"}


class Killing(AppConfig):
    name = "tests.saboteur.killing"

    def ready(self) -> None:
        from deliveries.recipients import Recipients  # noqa: PLC0415 - not before the models are there

        devices_of = Recipients.devices_of

        async def kill_or_look_up(recipients, request):
            if request.notification_id.startswith("killer-"):
                os.kill(os.getpid(), signal.SIGKILL)
            return await devices_of(recipients, request)

        Recipients.devices_of = kill_or_look_up
