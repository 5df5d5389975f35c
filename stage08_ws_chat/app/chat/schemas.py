"""The frames that clients of the chat send and get."""

import json
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter

from app.params import NO_NUL, RequestBody

MAX_FRAME = 32 * 1024  # characters of JSON: the longest text, with every character escaped, fits


def check_not_blank(text: str) -> str:
    """Return the text unless it is blank; raises `ValueError`."""
    if not text.strip():
        raise ValueError("Text should not be blank")
    return text


MessageText = Annotated[
    str,
    StringConstraints(min_length=1, max_length=2000, pattern=NO_NUL),
    AfterValidator(check_not_blank),
]
ClientId = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=NO_NUL)]
CLIENT_ID: TypeAdapter[str] = TypeAdapter(ClientId)


class MessageWrite(RequestBody):
    """A message from a client. With a `client_id` it is safe to send it twice."""

    text: MessageText
    client_id: ClientId | None = None


class ChatUser(BaseModel):
    """A user in the chat."""

    model_config = ConfigDict(from_attributes=True, frozen=True)

    id: int
    username: str


class MessageRead(BaseModel):
    """A stored message, which goes to every connection."""

    model_config = ConfigDict(from_attributes=True)

    type: Literal["message"] = "message"
    id: int
    user: ChatUser
    text: str
    sent_at: datetime
    client_id: str | None


class Presence(BaseModel):
    """A user joined or left; `online` lists the users who are there now."""

    type: Literal["presence"] = "presence"
    event: Literal["joined", "left"]
    user: ChatUser
    online: list[ChatUser]


class Heartbeat(BaseModel):
    """Shows a page that the connection lives, since a browser hides pings from pages."""

    type: Literal["heartbeat"] = "heartbeat"
    interval: float  # seconds until the next one


class ErrorFrame(BaseModel):
    """A frame was refused; the socket stays open."""

    type: Literal["error"] = "error"
    detail: str
    # From the refused frame, if it has a valid one.
    client_id: str | None = Field(default=None, exclude_if=lambda value: value is None)


def client_id_of(frame: str | None) -> str | None:
    """Return the `client_id` of a frame, also of an invalid frame; None without a valid one."""
    if frame is None or len(frame) > MAX_FRAME:
        return None
    try:
        return CLIENT_ID.validate_python(json.loads(frame)["client_id"])
    except (ValueError, TypeError, KeyError, RecursionError):  # any kind of invalid JSON
        return None
