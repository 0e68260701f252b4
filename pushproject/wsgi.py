"""The WSGI application, for gunicorn. It starts nothing: `manage.py serve` does."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pushproject.settings")

application = get_wsgi_application()
