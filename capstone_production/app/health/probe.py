"""Whether a container works, for Docker: exit code 0 when it does. The image has no curl.

python -m app.health.probe http://127.0.0.1:8000/health/ready    answers with a 2xx in time
python -m app.health.probe /tmp/heartbeat                        was touched lately
"""

import sys
import time
import urllib.request
from pathlib import Path

ANSWERS_WITHIN = 3  # seconds
LATELY = 15  # seconds


def is_healthy(target: str) -> bool:
    """Return whether there is an answer, or the file is young; raises `OSError` when not."""
    if target.startswith("http://"):
        with urllib.request.urlopen(target, timeout=ANSWERS_WITHIN):  # noqa: S310 - http, see above
            return True
    return time.time() - Path(target).stat().st_mtime < LATELY


if __name__ == "__main__":
    try:
        sys.exit(0 if is_healthy(sys.argv[1]) else "no sign of life")
    except OSError as error:  # an answer that is not 2xx is one, too
        sys.exit(f"{sys.argv[1]}: {error}")
