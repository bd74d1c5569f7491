"""The organisers' admin. Nothing here assigns a state: actions call the services."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin

from challenge.admin import challenges, people, submissions

__all__ = ["challenges", "people", "submissions"]

# One door for everybody: the admin's own form would know neither the limit of failed log-ins nor
# the second factor.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]
