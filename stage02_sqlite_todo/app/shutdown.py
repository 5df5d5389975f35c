"""A limit on the time that the server takes to stop.

uvicorn finishes open requests before it stops. Without a limit it would wait forever for a client
that sends half a body, or that reads half an answer.
"""

import signal

import uvicorn

REQUESTS_MAY_TAKE = 5  # seconds after Ctrl-C or SIGTERM


def limit_shutdown() -> None:
    """Make uvicorn cancel open requests after `REQUESTS_MAY_TAKE`.

    uvicorn's option `--timeout-graceful-shutdown` takes precedence.
    """
    # uvicorn's signal handler is a method of its server, so the app finds the server here.
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if isinstance(server, uvicorn.Server) and server.config.timeout_graceful_shutdown is None:
        server.config.timeout_graceful_shutdown = REQUESTS_MAY_TAKE
