"""Row 8.5: the history. `after` closes the gap of a client that was away, `before` scrolls back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.driver import Api
from tests.harness.problems import field_errors
from tests.stage08.chat import Frame, Person, everything_after, history, new_text

COUNT = 12


@pytest.fixture
def said(ada: Person) -> list[Frame]:
    """Messages, one after the other, with nobody's between them."""
    return [ada.tell(new_text()) for _ in range(COUNT)]


def test_without_a_cursor_it_is_the_newest_page(api: Api, said: list[Frame]) -> None:
    assert history(api)[-COUNT:] == said
    assert len(history(api)) <= 20
    assert history(api, limit=5) == said[-5:]


def test_before_leads_back(api: Api, said: list[Frame]) -> None:
    assert history(api, before=said[8]["id"], limit=4) == said[4:8]
    assert history(api, before=said[4]["id"], limit=4) == said[:4]
    assert history(api, before=0) == []


def test_after_closes_a_gap(api: Api, said: list[Frame]) -> None:
    assert history(api, after=said[0]["id"], limit=4) == said[1:5]
    assert history(api, after=said[4]["id"], limit=100) == said[5:]
    assert history(api, after=said[-1]["id"]) == []
    assert everything_after(api, said[0]["id"] - 1) == said


def test_both_cursors_are_a_window(api: Api, said: list[Frame]) -> None:
    window = {"after": said[2]["id"], "before": said[6]["id"]}
    assert history(api, **window) == said[3:6]
    assert history(api, **window, limit=2) == said[3:5]
    assert history(api, after=said[6]["id"], before=said[2]["id"]) == []


def test_a_page_has_1_to_100_messages(api: Api, said: list[Frame]) -> None:
    assert history(api, limit=1) == said[-1:]
    assert history(api, limit=100)[-COUNT:] == said
    for limit in (0, 101, -1, "x"):
        assert api.request("GET", "/chat/messages", params={"limit": limit}).status_code == 422


@pytest.mark.parametrize("cursor", [-1, "x", "", 1.5, 2**63, 10**30])
@pytest.mark.parametrize("name", ["before", "after"])
def test_a_bad_cursor_is_refused(api: Api, name: str, cursor: Any) -> None:
    answer = api.request("GET", "/chat/messages", params={name: cursor})
    assert answer.status_code == 422
    assert field_errors(answer)


def test_the_largest_cursor_is_a_number_like_any_other(api: Api, said: list[Frame]) -> None:
    assert history(api, after=2**63 - 1) == []
    assert history(api, before=2**63 - 1, limit=1) == said[-1:]


def test_only_signed_in_users_read_it(api: Api) -> None:
    for token in (None, "x"):
        answer = api.with_token(token).request("GET", "/chat/messages")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"


def test_it_holds_what_everybody_said(api: Api, ada: Person, bob: Person) -> None:
    first, second = ada.tell(new_text()), bob.tell(new_text())
    assert history(api, limit=2) == [first, second]
    assert [message["user"] for message in history(api, limit=2)] == [ada.user, bob.user]
