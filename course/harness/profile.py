"""Translates a solution's other names: paths and JSON fields that differ from the contract's.

    port = 5000                          # the one port that it listens on, if it takes no other

    [paths]                              # the contract's path = the solution's
    "/todos" = "/api/v1/tasks"           # and everything below it

    [fields.todos]                       # below /todos: the contract's name = the solution's
    title = "name"

One TOML file names them. Requests, WebSocket addresses and answers are translated on their way, so
tests need not know it, and reports show the real exchange. Values and query parameters are not
translated.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

_KEYS = {"port", "paths", "fields"}


class ProfileError(Exception):
    """The profile is wrong; the message is for its author."""


@dataclass(frozen=True)
class Profile:
    """The translation; an empty one changes nothing."""

    paths: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    port: int | None = None

    def path(self, path: str) -> str:
        """Return the solution's path for a path of the contract (a whole URL keeps its host)."""
        return _translate(path, self.paths)

    def own_path(self, path: str) -> str:
        """Return the contract's path for a path of the solution."""
        return _translate(path, {theirs: ours for ours, theirs in self.paths.items()})

    def renames(self, path: str) -> bool:
        """Return whether the path has translated fields."""
        return _resource(path) in self.fields

    def body(self, path: str, content: Any) -> Any:
        """Return JSON for a path of the contract, with the solution's names."""
        return _rename(content, self.fields.get(_resource(path), {}))

    def raw_body(self, path: str, content: bytes) -> bytes:
        """The same for JSON as bytes; anything but a JSON object stays unchanged."""
        names = self.fields.get(_resource(path), {})
        try:
            decoded = json.loads(content) if names else None
        except (ValueError, RecursionError):
            return content
        renamed = _rename(decoded, names)
        return content if renamed == decoded else json.dumps(renamed).encode("ascii")

    def answer(self, path: str, response: httpx.Response) -> httpx.Response:
        """Return an answer with the contract's names."""
        if not (self.paths or self.fields):
            return response
        names = {theirs: ours for ours, theirs in self.fields.get(_resource(path), {}).items()}
        headers = [
            (name, self.own_path(value) if name.lower() == "location" else value)
            for name, value in response.headers.multi_items()
            if name.lower() not in {"content-encoding", "content-length", "transfer-encoding"}
        ]
        content = response.content
        try:
            decoded = json.loads(content)
        except (ValueError, RecursionError):
            pass
        else:
            content = json.dumps(self._incoming(decoded, names)).encode("ascii")
        translated = httpx.Response(
            response.status_code, headers=headers, content=content, request=response.request
        )
        translated.history = response.history
        return translated

    def _incoming(self, content: Any, names: Mapping[str, str]) -> Any:
        if isinstance(content, dict) and isinstance(content.get("detail"), list):
            # A 422 names fields too.
            errors = [_rename_place(error, names) for error in content["detail"]]
            return content | {"detail": errors}
        if isinstance(content, dict) and isinstance(content.get("url"), str):
            content = content | {"url": self.own_path(content["url"])}
        return _rename(content, names)


def load_profile(file: Path) -> Profile:
    """Return the profile in a file; raise `ProfileError` for a mistake in it."""
    try:
        rows = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProfileError(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise ProfileError(f"{file}: {error}") from error
    if unknown := sorted(rows.keys() - _KEYS):
        known = ", ".join(sorted(_KEYS))
        raise ProfileError(f"{file}: there is no key {unknown[0]!r}: choose from {known}")
    paths, fields, port = rows.get("paths", {}), rows.get("fields", {}), rows.get("port")
    if port is not None and type(port) is not int:
        raise ProfileError(f"{file}: port is a number, not {port!r}")
    tables = {"paths": paths} | (
        {f"fields.{name}": table for name, table in fields.items()}
        if isinstance(fields, dict)
        else {"fields": fields}
    )
    for name, table in tables.items():
        _check_names(file, name, table)
    for path in [*paths, *paths.values()]:
        if not path.startswith("/") or path.endswith("/"):
            raise ProfileError(f"{file}: a path begins with / and does not end with it: {path!r}")
    return Profile(paths, fields, port)


def _check_names(file: Path, name: str, table: Any) -> None:
    if not isinstance(table, dict) or not all(isinstance(v, str) for v in table.values()):
        raise ProfileError(f'{file}: [{name}] holds lines of the form: name = "other name"')
    if len(set(table.values())) < len(table):
        raise ProfileError(f"{file}: [{name}] gives one name to two things")


def _resource(path: str) -> str:
    return urlsplit(path).path.strip("/").partition("/")[0]


def _translate(path: str, paths: Mapping[str, str]) -> str:
    if not paths:
        return path
    whole = urlsplit(path)
    for ours in sorted(paths, key=len, reverse=True):  # the longest match is the most exact one
        if whole.path == ours or whole.path.startswith(f"{ours}/"):
            return whole._replace(path=paths[ours] + whole.path[len(ours) :]).geturl()
    return path


def _rename(content: Any, names: Mapping[str, str]) -> Any:
    if isinstance(content, list):
        return [_rename(item, names) for item in content]
    if isinstance(content, dict):
        return {names.get(name, name): value for name, value in content.items()}
    return content


def _rename_place(error: Any, names: Mapping[str, str]) -> Any:
    if not isinstance(error, dict) or not isinstance(error.get("loc"), list):
        return error
    place = [names.get(word, word) if isinstance(word, str) else word for word in error["loc"]]
    return error | {"loc": place}


_active = Profile()


def active() -> Profile:
    """Return the profile of this test run."""
    return _active


def activate(profile: Profile) -> None:
    """Let the test run use a profile."""
    global _active  # one run, one solution
    _active = profile
