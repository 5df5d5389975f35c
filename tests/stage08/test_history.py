"""Requirement 8.5: the history. `after` fills the gap after an absence, `before` scrolls back."""

from __future__ import annotations

from typing import Any

import pytest

from course.harness.contract import variants
from course.harness.driver import Api
from course.harness.problems import field_errors
from tests.stage08.chat import Frame, Person, cores, everything_after, history, new_text

COUNT = 12


@pytest.fixture
def said(ada: Person) -> list[Frame]:
    """Return messages that were sent without other messages between them."""
    return cores(ada.tell(new_text()) for _ in range(COUNT))


def page(api: Api, **query: int) -> list[Frame]:
    """Return a page of messages with the fields that the contract requires."""
    return cores(history(api, **query))


@pytest.mark.requirement("8.5")
@pytest.mark.contract("C11", "E21")
def test_the_history_without_a_cursor_is_the_newest_page(api: Api, said: list[Frame]) -> None:
    assert page(api)[-COUNT:] == said
    assert len(page(api)) <= 20
    assert page(api, limit=5) == said[-5:]


@pytest.mark.requirement("8.5")
@pytest.mark.contract("C11")
def test_before_returns_the_previous_page(api: Api, said: list[Frame]) -> None:
    assert page(api, before=said[8]["id"], limit=4) == said[4:8]
    assert page(api, before=said[4]["id"], limit=4) == said[:4]


@pytest.mark.requirement("8.5")
@pytest.mark.craft
def test_before_with_the_first_id_returns_an_empty_page(api: Api) -> None:
    assert page(api, before=0) == []


@pytest.mark.requirement("8.5")
@pytest.mark.craft
def test_the_history_contains_a_message_as_it_was_broadcast(api: Api, ada: Person) -> None:
    sent = ada.tell(new_text(), client_id="mine")
    assert history(api, limit=1) == [sent]


@pytest.mark.requirement("8.5")
@pytest.mark.contract("C11", "C12")
def test_after_returns_the_missed_messages(api: Api, said: list[Frame]) -> None:
    assert page(api, after=said[0]["id"], limit=4) == said[1:5]
    assert page(api, after=said[4]["id"], limit=100) == said[5:]
    assert page(api, after=said[-1]["id"]) == []
    assert cores(everything_after(api, said[0]["id"] - 1)) == said


@pytest.mark.requirement("8.5")
@pytest.mark.craft
def test_both_cursors_together_select_a_range(api: Api, said: list[Frame]) -> None:
    window = {"after": said[2]["id"], "before": said[6]["id"]}
    assert page(api, **window) == said[3:6]
    assert page(api, **window, limit=2) == said[3:5]
    assert page(api, after=said[6]["id"], before=said[2]["id"]) == []


@pytest.mark.requirement("8.5")
@pytest.mark.contract("E21", "E4")
def test_a_page_has_1_to_100_messages(api: Api, said: list[Frame]) -> None:
    assert page(api, limit=1) == said[-1:]
    assert page(api, limit=100)[-COUNT:] == said
    for limit in (0, 101, -1, "x"):
        assert api.request("GET", "/chat/messages", params={"limit": limit}).status_code == 422


@pytest.mark.requirement("8.5")
@pytest.mark.contract("E4")
@pytest.mark.parametrize(
    "cursor", variants([-1, "x", "", 1.5, 2**63, 10**30], craft=[-1, "", 1.5, 2**63, 10**30])
)
@pytest.mark.parametrize("name", ["before", "after"])
def test_an_invalid_cursor_gets_422(api: Api, name: str, cursor: Any) -> None:
    answer = api.request("GET", "/chat/messages", params={name: cursor})
    assert answer.status_code == 422
    assert field_errors(answer)


@pytest.mark.requirement("8.5")
@pytest.mark.craft
def test_the_largest_cursor_is_accepted(api: Api, said: list[Frame]) -> None:
    assert page(api, after=2**63 - 1) == []
    assert page(api, before=2**63 - 1, limit=1) == said[-1:]


@pytest.mark.requirement("8.5")
@pytest.mark.craft
def test_the_history_requires_a_token(api: Api) -> None:
    for token in (None, "x"):
        answer = api.with_token(token).request("GET", "/chat/messages")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].split()[0] == "Bearer"


@pytest.mark.requirement("8.5")
@pytest.mark.contract("C5", "C11")
def test_the_history_contains_the_messages_of_all_users(api: Api, ada: Person, bob: Person) -> None:
    first, second = ada.tell(new_text()), bob.tell(new_text())
    assert page(api, limit=2) == cores([first, second])
    assert [message["user"] for message in page(api, limit=2)] == [ada.user, bob.user]
