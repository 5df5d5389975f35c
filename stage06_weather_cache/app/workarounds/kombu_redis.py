"""Keeps a worker alive after Redis was away; kombu alone would stop it.

`QoS` in kombu's `transport/redis.py` (seen in 5.7) acknowledges a message over the connection that
delivered it, and at the end it returns messages over that connection. If Redis was away meanwhile,
the connection is gone, and an AttributeError stops the worker. We need neither: Redis sends a
fetched message again, and a finished job does not run again when its message is repeated.

No issue at https://github.com/celery/kombu/issues describes it yet, and no version fixes it.
"""

import logging

from kombu.transport.redis import Channel, QoS

logger = logging.getLogger(__name__)


class Unacknowledged(QoS):
    """The messages that this worker has taken and not acknowledged."""

    restore_at_shutdown = False

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message, if the connection that delivered it still exists."""
        try:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]
        except AttributeError:
            logger.warning("Redis was away: message %s may come again", delivery_tag)


def survive_lost_redis() -> None:
    """Use this class in every worker of this process."""
    Channel.QoS = Unacknowledged
