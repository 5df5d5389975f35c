"""Servers with severe faults that a grade has to survive; each run is one kind.

    python odd_servers.py PORT KIND

`silent`: accepts connections and sends nothing · `closes`: closes them at once · `garbage`: sends
bytes that are not HTTP · `html`: a page with a script for every request · `redirects`: an endless
redirect between two paths · `cut`: declares a longer body than it sends · `crashes`: ends during
the answer to a POST · `hangs`: answers GET and no other request · `endless`: an endless list ·
`drips`: an endless list, one byte at a time · `deaf`: like `hangs`, and it ignores Ctrl-C and
SIGTERM (`PID_FILE` names the file with its process id) · `broken-websocket`: a chat that accepts
the handshake and then sends an invalid frame.
"""

from __future__ import annotations

import base64
import hashlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

MARKUP = "<script>alert(1)</script>"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


def odd_server(kind: str) -> str:
    """Return the command of a faulty server."""
    return f"{sys.executable} {__file__} {{port}} {kind}"


def answer(status: str, body: str, *headers: str, kind: str = "application/json") -> bytes:
    """Return a complete answer."""
    content = body.encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, *headers, "Connection: close", "", ""]).encode() + content


def closes(_: bytes) -> bytes:
    """Close without an answer."""
    return b""


def silent(_: bytes) -> bytes:
    """Never answer."""
    threading.Event().wait()
    return b""


def garbage(_: bytes) -> bytes:
    """Send bytes that are not HTTP."""
    return b"\x00\xff nonsense\r\n\r\n"


def html(_: bytes) -> bytes:
    """Answer every request with a page."""
    return answer("200 OK", f"<!doctype html>{MARKUP}", kind="text/html")


def redirects(request: bytes) -> bytes:
    """Redirect every request."""
    place = "/here" if request.startswith(b"GET /there") else "/there"
    return answer("307 Temporary Redirect", "", f"Location: {place}")


def cut(_: bytes) -> bytes:
    """Close before the end of the body."""
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n["


def crashes(request: bytes) -> bytes:
    """End the process at a POST."""
    if request.startswith(b"POST"):
        print("this is the end", flush=True)
        os._exit(3)
    return answer("200 OK", "[]")


def endless(_: bytes) -> Iterator[bytes]:
    """Send an endless answer as fast as possible."""
    yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n["
    while True:
        yield b" " * 1_000_000


def drips(_: bytes) -> Iterator[bytes]:
    """Send an endless answer slowly, but always before a timeout of the next byte."""
    for piece in endless(b""):
        yield piece[:100]
        time.sleep(0.1)


def hangs(request: bytes) -> bytes:
    """Answer only GET."""
    return answer("200 OK", "[]") if request.startswith(b"GET") else silent(request)


def broken_websocket(request: bytes) -> bytes:
    """Accept a handshake, then send an invalid frame."""
    lines = request.decode("latin-1").split("\r\n")
    headers = dict(line.lower().partition(": ")[::2] for line in lines[1:] if line)
    if "sec-websocket-key" in headers:
        given = next(line for line in lines if line.lower().startswith("sec-websocket-key: "))
        digest = hashlib.sha1(given.split(": ")[1].encode() + _GUID).digest()  # noqa: S324
        accepted = base64.b64encode(digest).decode()
        head = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        head.append(f"Sec-WebSocket-Accept: {accepted}")
        return "\r\n".join([*head, "", ""]).encode() + b"\xff\xff\xff\xff nonsense"
    if request.startswith(b"POST /auth/register"):
        return answer("201 Created", '{"id": 1, "username": "u", "created_at": "now"}')
    if request.startswith(b"POST /auth/token"):
        token = '{"access_token": "t", "token_type": "bearer", "expires_in": 60}'
        return answer("200 OK", token)
    if request.startswith(b"GET /users/me") and "authorization" in headers:
        return answer("200 OK", '{"id": 1, "username": "u", "created_at": "now"}')
    if request.startswith(b"GET /users/me"):
        return answer("401 Unauthorized", '{"detail": "no"}', "WWW-Authenticate: Bearer")
    # Only users and the chat are graded, since the other stages are missing.
    return answer("404 Not Found", '{"detail": "no such path"}')


KINDS: dict[str, Callable[[bytes], bytes | Iterator[bytes]]] = {
    "silent": silent,
    "closes": closes,
    "garbage": garbage,
    "html": html,
    "redirects": redirects,
    "cut": cut,
    "crashes": crashes,
    "hangs": hangs,
    "deaf": hangs,
    "endless": endless,
    "drips": drips,
    "broken-websocket": broken_websocket,
}


def serve(connection: socket.socket, behave: Callable[[bytes], bytes | Iterator[bytes]]) -> None:
    """Read the head of a request and send the answer."""
    with connection:
        connection.settimeout(20)
        request = b""
        try:
            while b"\r\n\r\n" not in request and (received := connection.recv(65_536)):
                request += received
            said = behave(request)
            for piece in [said] if isinstance(said, bytes) else said:
                connection.sendall(piece)
        except OSError:
            return


def main() -> None:
    """Serve until the end."""
    port, behave = int(sys.argv[1]), KINDS[sys.argv[2]]
    if sys.argv[2] == "deaf":
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        Path(os.environ["PID_FILE"]).write_text(str(os.getpid()), encoding="ascii")
    with socket.create_server(("127.0.0.1", port), backlog=100) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection, behave), daemon=True).start()


if __name__ == "__main__":
    main()
