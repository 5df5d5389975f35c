"""How many requests there were, and how long they took, by route.

The number of series is bounded: routes by their template, and no method that does not exist.
The instrumentator's own middleware would tell the same. It searches the routes a second time for
each request, and makes a series of every address that is redirected.
"""

from prometheus_client import Counter, Histogram

# In seconds: the finer ones tell our own work apart, the others what we wait for.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

REQUESTS = Counter(
    "http_requests_total", "Requests that were answered.", ["method", "handler", "status"]
)
DURATION = Histogram(
    "http_request_duration_seconds",
    "Time until the answer began.",
    ["method", "handler"],
    buckets=BUCKETS,
)

# To find a series by its labels takes longer than to count in it.
_series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}


def count_request(method: str, route: str, status: int, seconds: float) -> None:
    """Count a request; `seconds` is the time until the answer began.

    `method` and `route` are from fixed lists, not from the client.
    """
    key = (method, route, status)
    if key not in _series:
        _series[key] = REQUESTS.labels(method, route, status), DURATION.labels(method, route)
    requests, duration = _series[key]
    requests.inc()
    duration.observe(seconds)
