"""The chat page in a browser, used by its visible words."""

from __future__ import annotations

import re
import secrets

from playwright.sync_api import Locator, Page, expect

PASSWORD = "correct horse"
PATIENCE = 30_000  # milliseconds; a reconnection takes time


class ChatPage:
    """The page, found by its visible words."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.username = f"ada_{secrets.token_hex(6)}"
        self.form = page.get_by_role("form", name="Sign in")
        self.log = page.get_by_role("log", name="Messages")
        self.text = page.get_by_label("Your message")
        self.status = page.get_by_role("status")
        self.online = page.get_by_role("list", name="Online").get_by_role("listitem")
        self.question = page.get_by_role("dialog")
        self.new_messages = page.get_by_role("button", name=re.compile("new messages?"))
        page.set_default_timeout(PATIENCE)

    def enter(self, button: str) -> None:
        """Fill in the form and press one of its buttons."""
        self.page.get_by_label("Username").fill(self.username)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name=button).click()

    def register(self) -> None:
        """Register and sign in."""
        self.enter("Register")
        self.is_connected()

    def is_connected(self) -> None:
        """Wait until the page shows that it is connected."""
        expect(self.status).to_have_text("Connected", timeout=PATIENCE)

    def say(self, text: str) -> None:
        """Write a message and press Enter."""
        self.text.fill(text)
        self.text.press("Enter")

    def message(self, text: str) -> Locator:
        """Return the element of a message."""
        exactly = self.page.get_by_text(text, exact=True)
        return self.log.get_by_role("article").filter(has=exactly)

    def is_confirmed(self, text: str) -> None:
        """Wait until a message is shown exactly once, and no longer as pending."""
        expect(self.message(text)).to_have_count(1, timeout=PATIENCE)
        expect(self.message(text)).not_to_contain_text("Sending", timeout=PATIENCE)

    def texts(self, start: str) -> list[str]:
        """Return the texts that begin with `start`, in the displayed order."""
        texts = self.log.locator(".text").all_text_contents()
        return [text for text in texts if text.startswith(start)]
