"""A tiny server with the behaviour that a test of the harness chooses.

    python sample_server.py PORT [BEHAVIOUR …]

`users`: todos need the token that every client can get · `deaf`: ignores SIGTERM · `parent`: starts
a child that outlives it · `dies`: ends at once with exit code 3 · `silent`: never listens.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
BEHAVIOURS = sys.argv[2:]


class Handler(BaseHTTPRequestHandler):
    """Returns its arguments, settings and directory."""

    protocol_version = "HTTP/1.1"

    def handle_request(self) -> None:
        """Answer any method."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        authorization = self.headers.get("Authorization")
        if self.path == "/environment":
            self.answer(200, {"environment": dict(os.environ), "directory": os.getcwd()})  # noqa: PTH109
        elif self.path == "/auth/register":
            self.answer(201, {"id": 1, "username": json.loads(body)["username"]})
        elif self.path == "/auth/token":
            self.answer(200, {"access_token": TOKEN, "token_type": "bearer", "expires_in": 60})
        elif "users" in BEHAVIOURS and authorization != f"Bearer {TOKEN}":
            self.answer(401, {"detail": "Not authenticated"})
        elif self.command == "POST":
            self.answer(201, {"id": 1, "sent": json.loads(body), "authorization": authorization})
        else:
            self.answer(200, [])

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_request  # noqa: N815

    def answer(self, status: int, content: object) -> None:
        """Send JSON."""
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    if "dies" in BEHAVIOURS:
        print("DATABASE_URL is not valid")
        sys.exit(3)
    if "silent" in BEHAVIOURS:
        threading.Event().wait()
    if "deaf" in BEHAVIOURS:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "parent" in BEHAVIOURS:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        print(f"child {child.pid}", flush=True)
    with ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler) as server:
        server.serve_forever()
