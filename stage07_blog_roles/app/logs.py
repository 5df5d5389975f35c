"""How our lines in the log look: as those of the server do."""

import logging

from uvicorn.logging import DefaultFormatter


def set_up_logs() -> None:
    """Send what the loggers of `app` say to standard error, from INFO on."""
    handler = logging.StreamHandler()
    handler.setFormatter(DefaultFormatter("%(levelprefix)s %(message)s"))
    logger = logging.getLogger("app")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
