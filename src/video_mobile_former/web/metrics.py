"""Figures of the service for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Counters of one service."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "vmf_requests", "Answers", ["route", "method", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "vmf_request_seconds",
            "From the head of a request to the end of its answer",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.stage_seconds = Histogram(
            "vmf_stage_seconds",
            "Parts of predictions: waiting, decode, model",
            ["stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.batch_clips = Histogram(
            "vmf_batch_clips",
            "Clips or windows in one pass of a model",
            buckets=(1, 2, 4, 8, 16, 32),
            registry=registry,
        )
        self.model_seconds = Counter(
            "vmf_model_seconds", "Time in which a model ran", registry=registry
        )
        self.in_use = Gauge("vmf_places_in_use", "Requests with a body now", registry=registry)
        self.upload_bytes = Counter("vmf_upload_bytes", "Bytes of uploads", registry=registry)
        self.folder_bytes = Gauge(
            "vmf_folder_bytes", "Bytes of uploads on disk now", registry=registry
        )
        self.worker_deaths = Counter(
            "vmf_worker_deaths", "Reading processes that died or were ended", registry=registry
        )
        self.jobs = Gauge("vmf_jobs", "Jobs by state", ["state"], registry=registry)
        self.streams = Gauge("vmf_streams", "Live streams now", registry=registry)
        self.frames = Counter(
            "vmf_stream_frames",
            "Frames of live streams: seen, skipped",
            ["fate"],
            registry=registry,
        )

    def text(self) -> bytes:
        """What Prometheus reads."""
        return generate_latest(self.registry)
