"""``/metrics`` in Prometheus' text format: the queues from the database, the requests as counted.

The queues are read at each question, so that every process gives the same answer and nothing is
counted twice or forgotten with a restart.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterator

from django.conf import settings
from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, multiprocess
from prometheus_client.core import REGISTRY, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from challenge.selectors import operations


@never_cache
@require_safe
def answer(request: HttpRequest) -> HttpResponse:
    """200 and the metrics for whoever sends ``METRICS_TOKEN`` as a bearer token, else 404.

    Where the database does not answer, ``flair_database_up`` is 0 and the queues are left out.
    """
    wanted = f"Bearer {settings.METRICS_TOKEN}"
    sent = request.headers.get("Authorization", "")
    if not settings.METRICS_TOKEN or not hmac.compare_digest(sent.encode(), wanted.encode()):
        return HttpResponse("not found\n", status=404, content_type="text/plain")
    parts = [generate_latest(_database_registry()), generate_latest(_request_registry())]
    return HttpResponse(b"".join(parts), content_type=CONTENT_TYPE_LATEST)


def _request_registry() -> CollectorRegistry:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY  # one process: Django's own server, tests
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def _database_registry() -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_DatabaseCollector())
    return registry


class _DatabaseCollector(Collector):
    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("flair_database_up", "1 while the database answers.")
        try:
            found = operations.read()
        except Error:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield from _queues(found)
        yield _labelled(
            "flair_evaluations_finished_last_hour",
            "Evaluations that ended within the last hour, by verdict and first problem.",
            ("state", "code"),
            {(one.state, one.code): one.count for one in found.finished},
        )
        seconds = {("0.5",): found.scoring_s_median, ("0.95",): found.scoring_s_p95}
        yield _labelled(
            "flair_scoring_seconds_last_hour",
            "Seconds from the claim to the verdict of what was scored within the last hour.",
            ("quantile",),
            {key: value for key, value in seconds.items() if value is not None},
        )
        yield _plain(
            "flair_leases_lost_last_hour",
            "Jobs whose worker was lost within the last hour.",
            found.leases_lost,
        )
        if found.last_sweep_at is not None:
            yield _plain(
                "flair_last_sweep_timestamp_seconds",
                "When the sweep ended last, in seconds since 1970.",
                found.last_sweep_at.timestamp(),
            )


def _queues(found: operations.Operations) -> Iterator[Metric]:
    kinds = {(queue.kind,): queue for queue in found.queues}
    yield _labelled(
        "flair_queue_jobs",
        "Jobs that wait for a worker.",
        ("kind",),
        {kind: queue.waiting for kind, queue in kinds.items()},
    )
    yield _labelled(
        "flair_queue_oldest_seconds",
        "Seconds that the oldest waiting job has waited; 0 where none waits.",
        ("kind",),
        {kind: queue.oldest_s for kind, queue in kinds.items()},
    )
    yield _labelled(
        "flair_jobs_running",
        "Jobs that a worker holds.",
        ("kind",),
        {kind: queue.running for kind, queue in kinds.items() if queue.running is not None},
    )


def _plain(name: str, words: str, value: float) -> Metric:
    return _labelled(name, words, (), {(): value})


def _labelled(
    name: str, words: str, labels: tuple[str, ...], values: dict[tuple[str, ...], float]
) -> Metric:
    family = GaugeMetricFamily(name, words, labels=labels)
    for key, value in values.items():
        family.add_metric(list(key), value)
    return family
