"""The health check of a container, since the image has no curl. Exit code 0 means healthy:

python -m app.health.probe http://127.0.0.1:8000/health/ready    the URL answers 2xx in time
python -m app.health.probe /tmp/heartbeat                        a process touched the file lately
"""

import sys
import time
import urllib.request
from pathlib import Path

ANSWERS_WITHIN = 3  # seconds
LATELY = 15  # seconds


def is_healthy(target: str) -> bool:
    """Return whether the URL answers with 2xx, or the file was touched lately.

    Raises `OSError` when there is no such answer or file.
    """
    if target.startswith("http://"):
        with urllib.request.urlopen(target, timeout=ANSWERS_WITHIN):  # noqa: S310 - http, see above
            return True
    return time.time() - Path(target).stat().st_mtime < LATELY


if __name__ == "__main__":
    try:
        sys.exit(0 if is_healthy(sys.argv[1]) else "no sign of life")
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error}")
