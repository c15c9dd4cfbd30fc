"""``manage.py`` of a project whose ``runserver`` command is Django's own."""

from __future__ import annotations

import sys

from django.core.management import ManagementUtility, get_commands

get_commands()["runserver"] = "django.contrib.staticfiles"
ManagementUtility(sys.argv).execute()
