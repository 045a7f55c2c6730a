"""What an operator watches, in the form of Prometheus. Counted here; what is stored is read when asked."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

REORGANISATIONS = Counter(
    "gpgpu_oracle_reorganisations", "Forks of the chain that the index has undone.", registry=REGISTRY
)
LOOP_FAILURES = Counter(
    "gpgpu_oracle_loop_failures", "Turns of a loop that failed.", ["loop"], registry=REGISTRY
)
DISPATCH_SECONDS = Histogram(
    "gpgpu_oracle_dispatch_seconds",
    "From the order, or the end of its pause, to the attempt.",
    buckets=(0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 3600, 21600, 86400),
    registry=REGISTRY,
)
REQUESTS = Counter(
    "gpgpu_oracle_http_requests", "Requests answered.", ["method", "route", "status"], registry=REGISTRY
)
REQUEST_SECONDS = Histogram(
    "gpgpu_oracle_http_request_seconds",
    "From the request's head to the answer's end.",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30),
    registry=REGISTRY,
)
HEAD_BLOCK = Gauge("gpgpu_oracle_head_block", "Newest block of the node.", registry=REGISTRY)
INDEXED_BLOCK = Gauge("gpgpu_oracle_indexed_block", "Last block whose events are stored.", registry=REGISTRY)
LAG_BLOCKS = Gauge("gpgpu_oracle_lag_blocks", "Blocks from the index to the head.", registry=REGISTRY)
JOBS = Gauge("gpgpu_oracle_jobs", "Jobs by state.", ["state"], registry=REGISTRY)
WORKERS = Gauge("gpgpu_oracle_workers_connected", "Workers linked to this process.", registry=REGISTRY)
STREAMS = Gauge("gpgpu_oracle_streams_open", "Event streams open at this process.", registry=REGISTRY)
OUTBOX = Gauge(
    "gpgpu_oracle_outbox_unconfirmed", "Transactions that are not confirmed yet.", registry=REGISTRY
)
HELD = Gauge("gpgpu_oracle_outbox_held", "Of them, those that wait for the spend cap.", registry=REGISTRY)
SPENT_WEI = Gauge(
    "gpgpu_oracle_keeper_spent_wei", "Spent with the keeper's key in 24 hours, at most.", registry=REGISTRY
)
CONTESTED = Gauge(
    "gpgpu_oracle_keeper_contested", "1: somebody else sends with the keeper's key.", registry=REGISTRY
)
