"""Readable ids of parametrized tests: short, with names for invisible characters.

pytest escapes every letter that is not ASCII, prints long values completely, and only counts lists
and dictionaries (`query0`). Here an id depends only on the value, so it is the same in each run.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

LONGEST = 40  # characters shown of one value
_BYTES = 8  # bytes shown of a value that is not text

_CONTROLS = {
    "\0": "NUL",
    "\t": "tab",
    "\n": "newline",
    "\r": "return",
    "\x1b": "ESC",
    "\x7f": "DEL",
}
_REPEATED = re.compile(r"(.{1,8}?)\1+", re.DOTALL)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Return the id of a text, or of a list or dictionary of texts and numbers."""
    return _described(val) if isinstance(val, str | bytes | list | tuple | dict) else None


def in_words(text: str) -> str:
    """Return a readable text unchanged, or a text with names instead of invisible characters."""
    if not text:
        return "empty"
    if len(text) > LONGEST and (repeated := _REPEATED.fullmatch(text)):
        unit = repeated[1]
        return f"{len(text) // len(unit)} × {in_words(unit)}"
    is_blank = not text.strip()
    shown = ""
    for character in text:
        is_shown = character.isprintable() and not is_blank
        shown += character if is_shown else f"({_name(character)})"
        if len(shown) > LONGEST:
            return f"{shown[:LONGEST]}… {len(text)} characters"
    return shown


def _name(character: str) -> str:
    known = _CONTROLS.get(character)
    return known or unicodedata.name(character, f"U+{ord(character):04X}").lower()


def _described(value: object) -> str | None:
    """Return a description that is the same in each run, or None."""
    if isinstance(value, str):
        return in_words(value)
    if isinstance(value, bytes):
        return _described_bytes(value)
    if isinstance(value, Mapping):
        parts = [_pair(name, part) for name, part in value.items()]
        return _joined(parts, ", ")
    if type(value) in (list, tuple):
        assert isinstance(value, list | tuple)
        return _joined([_described(part) for part in value], " ")
    if value is None or isinstance(value, bool | int | float):
        return str(value)
    return None


def _pair(name: object, value: object) -> str | None:
    described = _described(value)
    return None if described is None else f"{name}={described}"


def _joined(parts: list[str | None], separator: str) -> str | None:
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    text = separator.join(known) or "empty"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _described_bytes(value: bytes) -> str:
    if value.isascii() and (text := value.decode()).isprintable():
        return in_words(text)
    shown = value[:_BYTES].hex(" ")
    return shown if len(value) <= _BYTES else f"{shown} … {len(value)} bytes"
