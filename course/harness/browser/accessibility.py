"""Checks a page with axe, which finds accessibility problems."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

# Best practices too: a landmark for everything, headings in order.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def violations(page: Page, *, apart_from: str | None = None) -> list[str]:
    """Return the findings of axe, a line for each element.

    `apart_from` is the selector of a part that is not checked.
    """
    context = {"exclude": [[apart_from]]} if apart_from else None
    options = {"runOnly": {"type": "tag", "values": RULES}}
    found = Axe().run(page, context=context, options=options)
    return [
        f"{rule['id']}: {rule['help']}: {element['html']}"
        for rule in found.response["violations"]
        for element in rule["nodes"]
    ]
