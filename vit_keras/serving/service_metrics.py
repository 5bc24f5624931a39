"""Metrics of a service in the format of Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from vit_keras.serving.admission import Admission

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
CONTENT_TYPE = CONTENT_TYPE_LATEST
OTHER = "other"  # paths that no route has, which anybody can invent


class ServiceMetrics:
    """Counters of one service, in a registry of their own."""

    def __init__(self, admission: Admission, classes: list[str]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "vit_keras_requests", "Requests", ["path", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "vit_keras_request_seconds",
            "Seconds from the first byte of a request to its answer",
            ["path"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.images = Counter(
            "vit_keras_images",
            "Images, by predicted class, or abstained, or unreadable",
            ["result"],
            registry=self.registry,
        )
        for name in classes:  # from the start, so that a class that never comes is seen
            self.images.labels(f"class {name}")
        self.replacements = Counter(
            "vit_keras_models",
            "Models that replaced another one (served), or were not fit to (refused)",
            ["result"],
            registry=self.registry,
        )
        waiting = Gauge("vit_keras_waiting", "Requests in the queue", registry=self.registry)
        waiting.set_function(lambda: admission.waiting)
        running = Gauge("vit_keras_running", "Requests with a worker", registry=self.registry)
        running.set_function(lambda: admission.running)

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self.registry)
