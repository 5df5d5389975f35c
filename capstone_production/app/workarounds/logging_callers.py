"""Log records without what no line of ours shows.

For each record CPython's `logging` searches the stack for the file and line of the call, and asks
for thread, process and task. Its documentation names the switches, one of them private:
https://docs.python.org/3/howto/logging.html#optimization. Python 3.11 has no public one, and we
know of no version that has.
"""

import logging


def skip_unused_fields() -> None:
    """Have no record of this process filled with them."""
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
