"""The class of `visit`, and the monitor of a page."""

from __future__ import annotations

from typing import Literal, Protocol
from urllib.parse import urlsplit

from playwright.sync_api import ConsoleMessage, Dialog, Page, Request


class Visit(Protocol):
    """Opens pages, each in its own profile, as on another machine: they share no storage."""

    def __call__(
        self,
        url: str,
        *,
        color_scheme: Literal["light", "dark"] = "light",
        width: int = 1280,
        beside: Page | None = None,
    ) -> Page:
        """Return the page at `url`, in a window that is `width` pixels wide.

        `beside` names another page, whose profile gets a second tab.
        """


class Watch:
    """Records in `problems` the mistakes of a page and of the pages that it opens.

    `url` is the address of the page's own server.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.problems: list[str] = []
        self._server = urlsplit(url).netloc
        self._called: set[str] = set()  # addresses that a script asked for
        self._watch(page)

    def _watch(self, page: Page) -> None:
        page.on("request", self._on_request)
        page.on("console", self._on_console)
        page.on("dialog", self._on_dialog)
        page.on("pageerror", lambda error: self.problems.append(f"uncaught: {error}"))
        page.on("popup", self._watch)

    def _on_request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.netloc not in ("", self._server):  # "" as in data: and blob:
            self.problems.append(f"asked another server: {request.url}")
        if request.resource_type in ("fetch", "xhr"):
            self._called.add(request.url)

    def _on_console(self, message: ConsoleMessage) -> None:
        url = message.location["url"]
        # The browser reports every 4xx itself. For a script that may be a normal answer, and the
        # browser also asks for an icon that a picture in its own tab does not have.
        reported = message.text.startswith("Failed to load resource")
        if reported and (url in self._called or urlsplit(url).path == "/favicon.ico"):
            return
        # A picture that is deleted during its download ends early. That is not a mistake: after a
        # slightly earlier deletion the answer would be 404. Other tests check the pixels.
        deleted = "ERR_CONTENT_LENGTH_MISMATCH" in message.text or "404" in message.text
        if reported and deleted and urlsplit(url).path.endswith(("/file", "/thumbnail")):
            return
        if message.type in ("error", "warning"):
            self.problems.append(f"{message.type}: {message.text} ({url})")

    def _on_dialog(self, dialog: Dialog) -> None:
        # "beforeunload" is the browser's own question before it loses unsaved work; the page stays.
        if dialog.type != "beforeunload":
            self.problems.append(f"{dialog.type}: {dialog.message}")
        dialog.dismiss()
