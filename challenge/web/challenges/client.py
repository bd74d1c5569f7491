"""The participants' command as this site serves it: a wheel that pip installs from its address."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag

from challenge.errors import refuse
from challenge.services import client_wheel
from challenge.web.requests import page_view

MAX_AGE_S = 3600


@page_view("GET", "HEAD")
def wheel(request: HttpRequest, file_name: str) -> HttpResponse:
    """Answer the wheel of this site's own version; another version's name is not found."""
    made = client_wheel.build()
    if file_name != made.file_name:
        raise refuse("not-found")
    tag = quote_etag(made.sha256)
    unchanged = get_conditional_response(request, etag=tag)
    if unchanged is not None:
        return unchanged
    response = HttpResponse(made.content, content_type="application/zip")
    response["Content-Disposition"] = f'attachment; filename="{made.file_name}"'
    response["ETag"] = tag
    response["Cache-Control"] = f"public, max-age={MAX_AGE_S}"
    return response
