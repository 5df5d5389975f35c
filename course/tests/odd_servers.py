"""Servers with severe faults that a grade has to survive; each run is one kind.

    python odd_servers.py PORT KIND

`silent`: takes connections and says nothing · `closes`: closes them at once · `garbage`: answers
what is no HTTP · `html`: a page with a script for everything · `redirects`: sends everybody to
another place, which sends them back · `cut`: says that more will come, and closes · `crashes`:
ends in mid-answer when somebody posts · `hangs`: answers GET, and lets every other request wait ·
`endless`: a list that goes on and on · `drips`: one that goes on a byte at a time ·
`deaf`: hangs in that way, and ends neither by Ctrl-C nor by a SIGTERM (its process id is in the
file that `PID_FILE` names) ·
`broken-websocket`: a chat that takes the handshake and then speaks nonsense.
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
    """Return a whole answer."""
    content = body.encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, *headers, "Connection: close", "", ""]).encode() + content


def closes(_: bytes) -> bytes:
    """Say nothing and close."""
    return b""


def silent(_: bytes) -> bytes:
    """Say nothing, ever."""
    threading.Event().wait()
    return b""


def garbage(_: bytes) -> bytes:
    """Speak no HTTP."""
    return b"\x00\xff nonsense\r\n\r\n"


def html(_: bytes) -> bytes:
    """Answer a page."""
    return answer("200 OK", f"<!doctype html>{MARKUP}", kind="text/html")


def redirects(request: bytes) -> bytes:
    """Send everybody away."""
    place = "/here" if request.startswith(b"GET /there") else "/there"
    return answer("307 Temporary Redirect", "", f"Location: {place}")


def cut(_: bytes) -> bytes:
    """Close before the end of the body."""
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n["


def crashes(request: bytes) -> bytes:
    """End the whole process when somebody posts."""
    if request.startswith(b"POST"):
        print("this is the end", flush=True)
        os._exit(3)
    return answer("200 OK", "[]")


def endless(_: bytes) -> Iterator[bytes]:
    """Answer as fast as possible, without an end."""
    yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n["
    while True:
        yield b" " * 1_000_000


def drips(_: bytes) -> Iterator[bytes]:
    """Answer too slowly to be of use, and never so slowly that nothing comes."""
    for piece in endless(b""):
        yield piece[:100]
        time.sleep(0.1)


def hangs(request: bytes) -> bytes:
    """Answer GET alone."""
    return answer("200 OK", "[]") if request.startswith(b"GET") else silent(request)


def broken_websocket(request: bytes) -> bytes:
    """Take part in a handshake, then send a frame that cannot be."""
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
    # So nothing but users and the chat is graded: the other stages are not there.
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
    """Read the head of a request and send what there is to say."""
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
