"""Reads error answers in both forms of the contract.

Up to stage 8 errors are JSON with a `detail`: a text, or for 422 the list of wrong fields. The
capstone sends problem documents (RFC 9457): `detail` is always a text, and the list is `errors`.
"""

from __future__ import annotations

from typing import Any

import httpx

JSON = "application/json"
PROBLEM = "application/problem+json"


def reason(answer: httpx.Response) -> str:
    """Return the text of the error; raise `AssertionError` for any other form."""
    content = _content(answer)
    detail: str = content["detail"]
    assert isinstance(detail, str), detail
    assert detail
    return detail


def field_errors(answer: httpx.Response) -> list[dict[str, Any]]:
    """Return the list of wrong fields of a 422; raise `AssertionError` for any other form."""
    content = _content(answer)
    errors: list[dict[str, Any]] = content["errors" if _is_problem(answer) else "detail"]
    assert isinstance(errors, list), errors
    assert errors
    return errors


def named(answer: httpx.Response) -> set[str | int]:
    """Return all names in a 422's list: wrong fields, and their places."""
    return {part for error in field_errors(answer) for part in error["loc"]}


def _content(answer: httpx.Response) -> dict[str, Any]:
    content: dict[str, Any] = answer.json()
    if _is_problem(answer):
        assert content.keys() >= {"type", "title", "status", "detail", "request_id"}, content
        assert content["status"] == answer.status_code
        assert isinstance(content["detail"], str)
    else:
        assert (
            answer.headers["content-type"].partition(";")[0] == JSON
        )  # it may also name a charset
        assert content.keys() == {"detail"}, content
    return content


def _is_problem(answer: httpx.Response) -> bool:
    return answer.headers["content-type"] == PROBLEM
