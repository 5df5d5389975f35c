"""Makes processes interruptible, in whatever way this process was started."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_OF_A_TERMINAL = ("SIGINT", "SIGHUP")


@contextmanager
def interruptible() -> Iterator[None]:
    """In this block processes start as in a terminal: Ctrl-C and a closed terminal end them.

    Programs in the background or under `nohup` ignore these signals, and their children inherit
    that.
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


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Delay a Ctrl-C or a SIGTERM until the end of the block, if Python handles it.

    Otherwise a process that has started but is not recorded yet would survive an interrupt.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is interrupted
        return
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    deferred = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in deferred:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in deferred.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
