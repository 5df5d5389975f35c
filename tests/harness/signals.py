"""Processes that can be interrupted, whoever started us."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

_OF_A_TERMINAL = ("SIGINT", "SIGHUP")


@contextmanager
def interruptible() -> Iterator[None]:
    """Start processes meanwhile as a terminal does: Ctrl-C and its closing end them.

    What runs in the background, or under `nohup`, is told to ignore these, and tells its children.
    """
    numbers = [getattr(signal, name) for name in _OF_A_TERMINAL if hasattr(signal, name)]
    ignored = [number for number in numbers if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)
