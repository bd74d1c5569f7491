"""Addresses under ``/api/``; whatever nothing answers is a 404 in problem JSON."""

from __future__ import annotations

from django.urls import path, re_path

from challenge.api import problems
from challenge.api.root import api

urlpatterns = [
    path("v1/", api.urls),
    re_path(r"^.*$", problems.not_found, name="api-not-found"),
]
