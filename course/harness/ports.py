"""Ports for the servers that tests start."""

import secrets
import socket

# Below the ports that systems use for outgoing connections (Linux: from 32768), so a server finds
# its port free after a restart.
_PORTS = range(20_000, 32_000)


def free_port() -> int:
    """Return a free loopback port outside of the range for outgoing connections."""
    return free_ports(1)


def free_ports(count: int) -> int:
    """Return the first of so many consecutive free ports."""
    while True:
        first = secrets.choice(_PORTS)
        if all(_is_free(port) for port in range(first, first + count)):
            return first


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
