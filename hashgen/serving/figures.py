"""What GET /metrics says, in Prometheus' terms."""

import os

from fastapi import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

# Where servers that answer side by side write their figures, so that each can tell the sum.
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2, 2.5, 5.0, 10.0)


class Figures:
    """Counters of one application. They know paths and times, never what was asked."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter("hashgen_requests", "Requests answered.", ["path", "status"], registry=self._registry)
        self._seconds = Histogram(
            "hashgen_request_seconds", "Time to answer.", ["path"], buckets=_SECONDS, registry=self._registry
        )
        # All servers share one memory of pictures.
        self.pictures = Gauge(
            "hashgen_pictures", "Pictures kept in memory.", registry=self._registry, multiprocess_mode="livemax"
        )
        self.waiting = Gauge(
            "hashgen_waiting",
            "Requests at work or waiting.",
            ["work"],
            registry=self._registry,
            multiprocess_mode="livesum",
        )

    def count(self, path: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def page(self) -> Response:
        """All figures as text."""
        registry = self._registry
        if FOLDER in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
