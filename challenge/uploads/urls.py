"""Addresses of the resumable uploads, under ``/api/v1/``."""

from __future__ import annotations

from django.urls import path

from challenge.uploads import views

app_name = "uploads"

urlpatterns = [
    path("uploads", views.collection, name="collection"),
    path("uploads/<uuid:upload_id>", views.item, name="item"),
]
