"""Every address of the site, by the room that answers it."""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from challenge.config import health, metrics

accounts: list[URLPattern | URLResolver] = [
    path("", include("allauth.account.urls")),
    path("2fa/", include("allauth.mfa.urls")),
    path("sessions/", include("allauth.usersessions.urls")),
]
if settings.OIDC_ISSUER:
    from allauth.socialaccount import views as connections

    from challenge.web.accounts import provider

    accounts += [
        path("oidc/login/", provider.begin, name="oidc_begin"),
        path("oidc/callback/", provider.callback, name="oidc_callback"),
        path("oidc/sign-up/", connections.signup, name="socialaccount_signup"),
        path("oidc/connections/", connections.connections, name="socialaccount_connections"),
    ]

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", health.answer, name="health"),
    path("livez", health.live, name="live"),
    path("readyz", health.ready, name="ready"),
    path("metrics", metrics.answer, name="metrics"),
    path("admin/", admin.site.urls),
    path("accounts/", include(accounts)),
    path("api/v1/", include("challenge.uploads.urls")),
    path("api/", include("challenge.api.urls")),
    path("", include("challenge.web.urls")),
]

handler400 = "challenge.web.challenges.home.bad_request"
handler403 = "challenge.web.challenges.home.forbidden"
handler404 = "challenge.web.challenges.home.not_found"
handler429 = "challenge.web.accounts.limits.too_many"  # allauth asks for it
handler500 = "challenge.web.challenges.home.broken"
