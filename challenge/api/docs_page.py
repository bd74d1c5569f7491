"""The API's reference as a page of the site, from the same text as docs/api.md."""

from __future__ import annotations

from functools import cache

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from challenge.api.reference import render_body
from challenge.api.root import api
from challenge.selectors import languages


@require_safe
@gzip_page
def docs_page(request: HttpRequest) -> HttpResponse:
    """Show every operation, shape and code of refusal."""
    return render(request, "web/api.html", {"reference": _reference(languages.current())})


@cache
def _reference(_language: str) -> str:
    """Return the Markdown; refusals' messages are in the language of the request."""
    return render_body(api.get_openapi_schema(path_prefix="/api/v1/"))
