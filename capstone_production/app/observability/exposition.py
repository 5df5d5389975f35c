"""`GET /metrics`: what Prometheus asks for every few seconds."""

from fastapi import Depends, FastAPI
from prometheus_client import disable_created_metrics
from prometheus_fastapi_instrumentator import Instrumentator

from app.observability.gauges import refresh_gauges

disable_created_metrics()  # when a counter began is one more series for each, and of no use


def expose_metrics(app: FastAPI) -> None:
    """Add the route. The answer is made in a thread: it may be long."""
    Instrumentator().expose(app, include_in_schema=False, dependencies=[Depends(refresh_gauges)])
