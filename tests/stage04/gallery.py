"""The gallery page as a person uses it, found by its visible words."""

from __future__ import annotations

import secrets
import struct
import zlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import FilePayload, Locator, Page, expect

from course.harness.driver import Api
from course.harness.server import AttachedServer, Server

PASSWORD = "correct horse"
GIF = bytes.fromhex(
    "47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b"
)
MARKUP = "<img src=x onerror=alert(1)>.png"
SHOWN_AT_FIRST = 24


def png(width: int = 64, height: int = 48, *, colour: bytes = b"\x20\x90\x70") -> bytes:
    """Return an uncompressed picture: about three bytes a pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress((b"\0" + colour * width) * height, level=0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def picture_file(
    name: str, data: bytes | None = None, content_type: str = "image/png"
) -> FilePayload:
    """Return a file to choose."""
    return {"name": name, "mimeType": content_type, "buffer": png() if data is None else data}


class Gallery:
    """The page, found by its visible words."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.username = f"ada_{secrets.token_hex(6)}"
        self.form = page.get_by_role("form", name="Sign in")
        self.heading = page.get_by_role("heading", name="Your pictures", exact=True)
        self.zone = page.get_by_text("or drop them here")
        self.files = page.get_by_label("Choose pictures")
        self.uploads = page.get_by_role("list", name="Uploads").get_by_role("listitem")
        self.summary = page.get_by_role("group", name="All uploads").get_by_role("paragraph")
        self.pictures = page.get_by_role("list", name="Pictures").get_by_role("listitem")
        self.dialog = page.get_by_role("dialog")

    def enter(self, button: str, password: str = PASSWORD) -> None:
        """Fill in the form and press one of its buttons."""
        self.page.get_by_label("Username").fill(self.username)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name=button).click()

    def register(self) -> None:
        """Register and sign in."""
        self.enter("Register")
        expect(self.heading).to_be_visible()

    def choose(self, *files: FilePayload) -> None:
        """Choose files with the button."""
        self.files.set_input_files(list(files))

    def add(self, *names: str) -> None:
        """Upload small pictures one after the other and wait for each to be shown."""
        for name in names:
            self.choose(picture_file(name))
            expect(self.picture(name)).to_be_visible()

    def picture(self, name: str) -> Locator:
        """Return the element of a picture."""
        return self.pictures.filter(has=self.page.get_by_role("img", name=name, exact=True))

    def upload(self, name: str) -> Locator:
        """Return the row of an upload that runs or has failed."""
        return self.uploads.filter(has_text=name)

    def names(self) -> list[str]:
        """Return the names of the pictures in the displayed order."""
        return [img.get_attribute("alt") or "" for img in self.pictures.get_by_role("img").all()]

    def drop(self, *paths: Path, on: Locator) -> None:
        """Drop files from the disk: the browser itself finds the element under the pointer."""
        box = on.bounding_box()
        assert box is not None
        session = self.page.context.new_cdp_session(self.page)
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        for event in ("dragEnter", "dragOver", "drop"):
            session.send("Input.dispatchDragEvent", {"type": event, "data": data, **at})


def address_of(server: Server) -> str:
    """Return the URL of the page; skips the test when a learner's server has none."""
    address = f"{server.base_url}/gallery"
    if isinstance(server, AttachedServer) and httpx.get(address, trust_env=False).is_error:
        pytest.skip(
            "not checked: this server has no gallery page; the contract does not require one"
        )
    return address


def sign_in(api: Api, username: str) -> Api:
    """Return a driver signed in as the page's user, for actions on another device."""
    form = {"username": username, "password": PASSWORD}
    token: str = api.request("POST", "/auth/token", data=form).json()["access_token"]
    return Api(api.server, token=token)


def upload(api: Api, name: str) -> dict[str, Any]:
    """Upload a small picture and return it."""
    head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
    body = head.encode() + b"Content-Type: image/png\r\n\r\n" + png() + b"\r\n--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = api.request("POST", "/images", content=body, headers=headers)
    assert answer.status_code == 201, answer.text
    image: dict[str, Any] = answer.json()
    return image


def is_displayed(picture: Locator) -> bool:
    """Return whether the browser has loaded and decoded the picture."""
    return bool(picture.get_by_role("img").evaluate("img => img.complete && img.naturalWidth > 0"))
