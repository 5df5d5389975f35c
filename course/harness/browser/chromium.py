"""Finds the Chromium or Chrome of this machine. The tests download nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

# Names on the PATH, then the places where installers put it on macOS and Windows.
COMMANDS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
)
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
)
NONE_FOUND = (
    "not checked: needs Chromium or Chrome, and there is none on this machine"
    " (CHROMIUM=/path/to/one names one)"
)

# No sandbox, since containers forbid it and only our own pages are opened. The other options stop
# requests of the browser itself.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

# One more option: the browser finds no server by name. A test opens its own by 127.0.0.1.
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


def find_chromium() -> Path | None:
    """Return the path of a browser: the one that `CHROMIUM` names, or the first found, or None."""
    return next(_candidates(), None)


def _candidates() -> Iterator[Path]:
    named = os.environ.get("CHROMIUM")
    for command in (named,) if named else COMMANDS:
        if found := shutil.which(command):
            yield Path(found)
    if not named:
        yield from (Path(place) for place in PLACES if Path(place).is_file())
