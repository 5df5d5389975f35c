"""A stampede: many clients ask for the weather of one city while the cache is empty.

    python -m course.harness.fake_weather                                      in one terminal
    … export what it says, and start stage 6 …                        in another
    python -m tools.learn.stampede http://127.0.0.1:8000 [--people 100]     in a third

Prints how often the provider was called, and how long the clients waited. One thread per client;
all start at the same moment. It needs only the standard library.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

from course.catalog.command import run
from course.catalog.stages import CourseError

LATENCY = 0.3  # seconds that the provider takes for an answer
_opener = build_opener(ProxyHandler({}))


def call(url: str, form: dict[str, object] | None = None) -> tuple[int, bytes]:
    """Return the status and body of a GET, or of a POST of a form."""
    data = urlencode(form).encode() if form else None
    try:
        with _opener.open(url, data, timeout=60) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        return error.code, error.read()


def main(arguments: Sequence[str], _root: Path) -> int:
    """Start the stampede and print the result."""
    parser = argparse.ArgumentParser(prog="python -m tools.learn.stampede")
    parser.add_argument("app", help="the address of stage 6, such as http://127.0.0.1:8000")
    parser.add_argument("--fake", default="http://127.0.0.1:8090", help="default: %(default)s")
    parser.add_argument("--people", default=100, type=int, help="default: %(default)s")
    options = parser.parse_args(arguments)
    city = f"Springfield {secrets.token_hex(4)}".title()
    url = f"{options.app.rstrip('/')}/weather?{urlencode({'city': city})}"
    barrier, statuses, waited = threading.Barrier(options.people), Counter[int](), list[float]()

    def one() -> None:
        barrier.wait()
        asked = time.monotonic()
        status, _ = call(url)
        waited.append(time.monotonic() - asked)
        statuses[status] += 1

    slow = {"mode": "slow", "seconds": LATENCY, "city": city}
    try:
        call(f"{options.app}/openapi.json")  # the first request of all is slower than the others
        call(f"{options.fake}/__control__/mode", slow)
        people = [threading.Thread(target=one) for _ in range(options.people)]
        for person in people:
            person.start()
        for person in people:
            person.join()
        rows = json.loads(call(f"{options.fake}/__control__")[1])["requests"]
    except URLError as error:
        raise CourseError(f"start both, the app and the fake provider: {error}") from error
    calls = sum(row["count"] for row in rows if row["city"] == city)
    waited.sort()
    print(f"{options.people} clients, the provider takes {LATENCY:g} s: asked it {calls} times")
    print("answers: " + ", ".join(f"{count} × {status}" for status, count in statuses.items()))
    print(f"waited: median {median(waited):.2f} s, slowest {waited[-1]:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
