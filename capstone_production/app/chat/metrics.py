"""Counters of the chat."""

from prometheus_client import Counter, Gauge

CONNECTIONS = Gauge(
    "websocket_connections", "Sockets that are open now.", multiprocess_mode="livesum"
)
MESSAGES = Counter(
    "chat_messages", "Messages that came in and were stored, or went out, by socket.", ["direction"]
)
MESSAGES_IN = MESSAGES.labels("in")
MESSAGES_OUT = MESSAGES.labels("out")
