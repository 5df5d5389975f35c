"""A worker that goes on after its Redis was away, where kombu ends it.

`QoS` in kombu's `transport/redis.py` (seen in 5.7) acknowledges a message, and gives messages back
at the end, over the connection that they came by. When Redis was away meanwhile, that connection is
gone: an AttributeError ends the worker. We need neither: what was fetched and not begun is sent
again, and what is done is not run again when its message comes again.

No issue at https://github.com/celery/kombu/issues names it yet, and no version ends it.
"""

import logging

from kombu.transport.redis import Channel, QoS

logger = logging.getLogger(__name__)


class Unacknowledged(QoS):
    """The messages that this worker has taken and not acknowledged."""

    restore_at_shutdown = False

    def ack(self, delivery_tag: str) -> None:
        """Have Redis forget a message, if the connection that it came by is still there."""
        try:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]
        except AttributeError:
            logger.warning("Redis was away: message %s may come again", delivery_tag)


def survive_lost_redis() -> None:
    """Have every worker of this process use it."""
    Channel.QoS = Unacknowledged
