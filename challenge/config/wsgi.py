"""The site as a WSGI application, for gunicorn."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

from challenge.config import engines

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "challenge.config.settings")
os.environ.setdefault("DATABASE_POOL", "1")
engines.hold_if_unset()
application = get_wsgi_application()
