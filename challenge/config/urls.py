"""Every address of the site, by the room that answers it."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from challenge.config import health

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", health.answer, name="health"),
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.urls")),
    path("api/v1/", include("challenge.uploads.urls")),
    path("api/", include("challenge.api.urls")),
    path("", include("challenge.web.urls")),
]

handler403 = "challenge.web.home.forbidden"
handler404 = "challenge.web.home.not_found"
handler500 = "challenge.web.home.broken"
