"""What a load balancer or a container asks: does this process reach its database and cache?"""

from __future__ import annotations

from django.core.cache import cache
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe


@never_cache
@require_safe
def answer(request: HttpRequest) -> HttpResponse:
    """200 and ``ok``; an engine out of reach raises, which is a 500."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    cache.get("health")
    return HttpResponse("ok\n", content_type="text/plain")
