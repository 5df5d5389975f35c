"""The log and the metrics of a Celery worker, or of beat.

The worker's jobs run in processes of their own, so its metrics need `PROMETHEUS_MULTIPROC_DIR`. The
process that started them serves the metrics of all, on `WORKER_METRICS_PORT`.
"""

from typing import Any

from celery import signals
from prometheus_client import CollectorRegistry, start_http_server

from app.config import Settings
from app.exceptions import StartupError
from app.logs import set_up_logs
from app.observability.processes import DIRECTORY, AllProcesses


def observe_worker(settings: Settings) -> None:
    """Connect to Celery's signals; raises `StartupError` for metrics that cannot be served."""
    port = settings.worker_metrics_port
    if port and not DIRECTORY:
        raise StartupError("WORKER_METRICS_PORT: PROMETHEUS_MULTIPROC_DIR has to be set, too")

    # Weak references would be gone with this function.
    if settings.log_format == "json":
        set_up_logs("json")  # for what is said before Celery asks

        @signals.setup_logging.connect(weak=False)
        def set_up(loglevel: int, **_: Any) -> None:
            set_up_logs("json", level=loglevel)

    if port:

        @signals.worker_ready.connect(weak=False)
        def serve_metrics(**_: Any) -> None:
            registry = CollectorRegistry()
            registry.register(AllProcesses())
            start_http_server(port, registry=registry)
