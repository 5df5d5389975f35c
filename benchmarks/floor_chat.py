"""The floor under the chat: a bare Starlette loop that sends each message to every socket.

    uvicorn floor_chat:app --port 8001        the loop
    python floor_chat.py 8002                 the same with the `websockets` library's `broadcast`

No token, no database, no queue: one client that does not read stops the loop for everybody.
"""

import asyncio
import json
import sys
from datetime import UTC, datetime
from itertools import count

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.server import ServerConnection, broadcast, serve

numbers = count(1)
sockets: set[WebSocket] = set()
connections: set[ServerConnection] = set()


def message(frame: str) -> str:
    """Return a client's message in the capstone's form, with the same fields."""
    user = {"id": 1, "username": "reader"}
    sent_at = datetime.now(UTC).isoformat()
    told = {"user": user, "text": json.loads(frame)["text"], "sent_at": sent_at, "client_id": None}
    return json.dumps({"type": "message", "id": next(numbers), **told}, separators=(",", ":"))


async def chat(websocket: WebSocket) -> None:
    """Send the messages of this client to all clients."""
    await websocket.accept()
    sockets.add(websocket)
    try:
        async for frame in websocket.iter_text():
            text = message(frame)
            for socket in list(sockets):
                await socket.send_text(text)
    finally:
        sockets.discard(websocket)


app = Starlette(routes=[WebSocketRoute("/ws/chat", chat)])


async def handle(connection: ServerConnection) -> None:
    """Do the same with the broadcast of the library."""
    connections.add(connection)
    try:
        async for frame in connection:
            broadcast(connections, message(str(frame)))
    finally:
        connections.discard(connection)


async def main(port: int) -> None:
    """Serve until the process is ended."""
    async with serve(handle, "127.0.0.1", port, compression=None):
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
