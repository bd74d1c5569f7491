"""Addresses under ``/api/``; whatever nothing answers is a 404 in problem JSON."""

from __future__ import annotations

from django.urls import path, re_path

from challenge.api import problems
from challenge.api.docs_page import docs_page
from challenge.api.root import api

urlpatterns = [
    path("v1/docs", docs_page, name="api-docs"),
    path("v1/", api.urls),
    re_path(r"^.*$", problems.not_found, name="api-not-found"),
]
