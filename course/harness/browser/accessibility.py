"""Checks a page with axe, which finds accessibility problems."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

# Best practices too: a landmark for everything, headings in order.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def violations(page: Page) -> list[str]:
    """Return the findings of axe, a line for each element."""
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": RULES}})
    return [
        f"{rule['id']}: {rule['help']}: {element['html']}"
        for rule in found.response["violations"]
        for element in rule["nodes"]
    ]
