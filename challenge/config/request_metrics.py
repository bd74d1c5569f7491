"""Counts requests by method, class of status and seconds, summed over the web's processes.

No path is a label: paths hold names of people and teams, and each would be a series of its own.
The time is until the answer begins; a download's body follows.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from prometheus_client import Histogram

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

SECONDS = Histogram(
    "flair_http_request_seconds",
    "Seconds until the answer to a request began.",
    ["method", "status"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
)


class RequestMetricsMiddleware:
    """The outermost: what any other middleware answers is counted as well."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started_s = time.perf_counter()
        response = self.get_response(request)
        method = request.method if request.method in METHODS else "other"
        status = f"{response.status_code // 100}xx"
        SECONDS.labels(method, status).observe(time.perf_counter() - started_s)
        return response
