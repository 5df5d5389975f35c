"""Ports for the servers that tests start."""

import secrets
import socket

# Below the ports that systems lend to outgoing connections (Linux: from 32768): a server that is
# down for a moment finds its own port free again.
_PORTS = range(20_000, 32_000)


def free_port() -> int:
    """Return a loopback port that nobody listens at, and that no connection will be given."""
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
