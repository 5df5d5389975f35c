"""Presence: all users are told when a user joins or leaves; tabs of one user count once."""

from __future__ import annotations

import pytest

from tests.stage08.chat import Frame, Person, new_text, person
from tests.stage08.conftest import Join

pytestmark = pytest.mark.craft


def ids(frame: Frame) -> list[int]:
    """Return the ids of the online users in a presence frame."""
    return [user["id"] for user in frame["online"]]


@pytest.mark.requirement("8.1")
@pytest.mark.contract("C6")
def test_all_users_are_told_that_a_user_joins_and_leaves(ada: Person, join: Join) -> None:
    """The contract allows a list or a number for `online`."""
    bob = join()
    came = ada.presence("joined", bob.user)
    assert came.keys() == {"type", "event", "user", "online"}
    assert came["user"] == bob.user
    assert came["online"]
    bob.socket.close()
    assert ada.presence("left", bob.user)["user"] == bob.user


@pytest.mark.requirement("8.1")
def test_presence_frames_list_the_online_users(ada: Person, join: Join) -> None:
    bob = join()
    came = ada.presence("joined", bob.user)
    assert came.keys() == {"type", "event", "user", "online"}
    assert came["user"] == bob.user
    assert ada.user in came["online"]
    assert bob.user in came["online"]
    bob.socket.close()
    went = ada.presence("left", bob.user)
    assert ada.user in went["online"]
    assert bob.user not in went["online"]


@pytest.mark.requirement("8.1")
def test_a_new_user_receives_the_list_of_online_users(ada: Person, bob: Person) -> None:
    (joined,) = [frame for frame in bob.received if frame["type"] == "presence"]
    assert {ada.user["id"], bob.user["id"]} <= set(ids(joined))
    assert len(ids(joined)) == len(set(ids(joined)))


@pytest.mark.requirement("8.1")
def test_two_tabs_of_one_user_count_once(ada: Person, bob: Person) -> None:
    ada.presence("joined", bob.user)
    mark = len(ada.received)
    with person(bob.api) as second_tab:
        joined = second_tab.received[-1]
        assert ids(joined).count(bob.user["id"]) == 1
        text = new_text()
        bob.say(text)
        assert second_tab.message(text) == bob.message(text)
    ada.settle()
    about_bob = [
        frame
        for frame in ada.received[mark:]
        if frame["type"] == "presence" and frame["user"] == bob.user
    ]
    assert about_bob == []
    bob.socket.close()
    assert bob.user["id"] not in ids(ada.presence("left", bob.user))


@pytest.mark.requirement("8.1")
def test_a_user_stays_online_while_a_second_tab_is_open(ada: Person, bob: Person) -> None:
    with person(bob.api) as second_tab:
        bob.socket.close()
        ada.settle()
        assert second_tab.tell(new_text())
        # Users of earlier tests may still be leaving, so the test checks only this user.
        assert bob.user not in [
            frame["user"] for frame in ada.received if frame.get("event") == "left"
        ]
    ada.presence("left", bob.user)
