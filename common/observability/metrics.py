"""Metrics, for Prometheus."""

from prometheus_client import Counter, Gauge, Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500)

HTTP_SECONDS = Histogram(
    "http_request_seconds",
    "Time from the first byte read to the answer",
    ["method", "route"],
    buckets=SECONDS,
)
HTTP_ANSWERS = Counter("http_answers", "Answers by status", ["method", "route", "status"])
PUBLISH_FAILURES = Counter("bus_publish_failures", "Publishes that were not confirmed", ["where", "reason"])
CONSUMED = Counter("bus_consumed_messages", "Messages processed and acked", ["queue"])
REJECTED = Counter("bus_rejected_messages", "Messages that failed alone", ["queue"])
BATCH_SIZE = Histogram("bus_batch_size", "Messages in one processed batch", ["queue"], buckets=SIZES)
RELAYED = Counter("outbox_relayed_events", "Events published from the outbox", ["service"])
OUTBOX_PENDING = Gauge("outbox_pending_events", "Events committed but not yet published", ["service"])
DUPLICATES = Counter("duplicates_dropped", "Messages recognised as seen before", ["queue"])
