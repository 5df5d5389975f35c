"""Requirements 8.2, 8.3 and 8.7: the server stores each message, then sends it to all in order."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from course.harness.contract import variants
from course.harness.server import LaunchedServer
from course.harness.waiting import in_parallel
from tests.stage08.chat import LONGEST_TEXT, Person, core, cores, history, new_text, person
from tests.stage08.conftest import Join

SENDERS, MESSAGES, RECEIVERS = 10, 20, 5
AT_ONCE = 3.0  # seconds; enough on a busy machine
A_DOZEN = 12  # people
A_SECOND = 5  # messages of one user that every server accepts


@pytest.mark.requirement("8.2")
@pytest.mark.contract("C4", "C5")
def test_a_message_goes_to_all_users_and_the_sender(ada: Person, bob: Person, join: Join) -> None:
    carol = join()
    text = new_text()
    ada.say(text)
    sent = ada.message(text, within=AT_ONCE)
    assert sent == bob.message(text, within=AT_ONCE) == carol.message(text, within=AT_ONCE)


@pytest.mark.requirement("8.2", "8.3")
@pytest.mark.contract("C5", "E2")
def test_a_message_contains_its_author_and_its_time(ada: Person) -> None:
    text = new_text()
    message = ada.tell(text, client_id="of my own")
    assert message.keys() == {"type", "id", "user", "text", "sent_at", "client_id"}
    assert isinstance(message["id"], int)
    assert (message["type"], message["text"]) == ("message", text)
    assert message["user"] == ada.user
    assert message["client_id"] == "of my own"
    sent_at = datetime.fromisoformat(message["sent_at"])
    assert sent_at.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - sent_at) < timedelta(minutes=1)


@pytest.mark.requirement("8.3")
@pytest.mark.contract("C4")
def test_a_client_id_is_optional(ada: Person) -> None:
    assert ada.tell(new_text()).get("client_id") is None


@pytest.mark.requirement("8.2")
@pytest.mark.contract("C4", "C5", "E1")
@pytest.mark.parametrize(
    "text",
    variants(
        [
            *("x", "x" * LONGEST_TEXT, "😀" * LONGEST_TEXT, "Привет", " a\nb ", "<b>&amp;</b>"),
            '"\\u0041',
        ],
        craft=["😀" * LONGEST_TEXT, " a\nb "],
    ),
    ids=["shortest", "longest", "longest of emoji", "Russian", "spaces", "markup", "escapes"],
)
def test_a_text_arrives_unchanged(ada: Person, bob: Person, text: str) -> None:
    sent = ada.tell(text)
    assert bob.message(text) == sent
    assert cores(history(bob.api, after=sent["id"] - 1)) == [core(sent)]


@pytest.mark.requirement("8.3")
@pytest.mark.contract("C5")
def test_a_message_is_stored_before_it_is_broadcast(ada: Person, bob: Person) -> None:
    for number in range(A_SECOND):
        text = new_text()
        ada.say(text, **({"client_id": text} if number % 2 else {}))
        message = bob.message(text)
        assert core(message) in cores(history(bob.api))


@pytest.mark.requirement("8.3")
@pytest.mark.craft
def test_a_message_row_references_its_user(ada: Person, launched_server: LaunchedServer) -> None:
    message = ada.tell(new_text())
    rows = launched_server.database.query(
        "SELECT m.text, u.username FROM messages m JOIN users u ON u.id = m.user_id WHERE m.id = ?",
        message["id"],
    )
    assert rows == [(message["text"], ada.user["username"])]
    assert launched_server.database.foreign_keys("messages") == {"user_id": "users"}


@pytest.mark.requirement("8.7")
@pytest.mark.contract("C5")
@pytest.mark.parametrize("messages", [A_SECOND, pytest.param(MESSAGES, marks=pytest.mark.craft)])
def test_all_users_receive_all_messages_in_one_order(join: Join, messages: int) -> None:
    receivers = [join() for _ in range(RECEIVERS)]
    senders = [join() for _ in range(SENDERS)]
    run = new_text()

    def speak(number: int) -> None:
        for count in range(messages):
            senders[number].say(f"{run} {number} {count}")

    def listen(number: int) -> list[tuple[int, str]]:
        heard: list[tuple[int, str]] = []
        while len(heard) < SENDERS * messages:
            frame = receivers[number].receive(
                lambda frame: frame["type"] == "message" and frame["text"].startswith(run)
            )
            heard.append((frame["id"], frame["text"]))
        return heard

    def act(number: int) -> Any:
        return speak(number) if number < SENDERS else listen(number - SENDERS)

    outcomes = in_parallel(SENDERS + RECEIVERS, act)
    assert outcomes.errors == []
    first, *others = outcomes.results[SENDERS:]
    assert all(other == first for other in others)
    ids = [number for number, _ in first]
    assert ids == sorted(set(ids))
    texts = [text for _, text in first]
    assert set(texts) == {f"{run} {n} {c}" for n in range(SENDERS) for c in range(messages)}
    for number in range(SENDERS):  # the messages of one person keep their order
        own = [text for text in texts if text.startswith(f"{run} {number} ")]
        assert own == [f"{run} {number} {count}" for count in range(messages)]


@pytest.mark.requirement("8.3")
@pytest.mark.craft("C10")
def test_a_message_sent_twice_is_stored_once(ada: Person, bob: Person) -> None:
    text = new_text()
    first = ada.tell(text, client_id=text)
    assert ada.tell(text, client_id=text) == first
    end = new_text()
    ada.tell(end)
    bob.message(end)
    assert [frame for frame in bob.received if frame.get("text") == text] == [first]
    assert [each["text"] for each in history(ada.api, after=first["id"] - 1)] == [text, end]


@pytest.mark.requirement("8.7")
@pytest.mark.contract("C5")
def test_a_message_reaches_a_dozen_users(join: Join) -> None:
    people = [join() for _ in range(A_DOZEN)]
    people[-1].say(text := new_text())
    for somebody in people:
        somebody.receive(lambda frame: frame.get("text") == text)


@pytest.mark.requirement("8.7")
@pytest.mark.contract("C5")
def test_a_message_reaches_every_socket_of_a_user(ada: Person, bob: Person) -> None:
    with person(ada.api) as second_window:
        sent = bob.tell(new_text())
        for window in (ada, second_window):
            window.receive(lambda frame: frame == sent)


@pytest.mark.requirement("8.3")
@pytest.mark.craft("C10")
def test_a_message_repeated_on_another_socket_is_stored_once(ada: Person) -> None:
    text = new_text()
    first = ada.tell(text, client_id=text)
    with person(ada.api) as again:
        assert again.tell(text, client_id=text) == first


@pytest.mark.requirement("8.3")
@pytest.mark.craft("C10")
def test_two_users_can_use_the_same_client_id(ada: Person, bob: Person) -> None:
    client_id, hers, his = new_text(), new_text(), new_text()
    assert ada.tell(hers, client_id=client_id)["id"] != bob.tell(his, client_id=client_id)["id"]


BAD_FRAMES: dict[str, str | bytes] = {
    "no text": "{}",
    "empty text": '{"text": ""}',
    "blank text": '{"text": " \\n\\t "}',
    "too long": json.dumps({"text": "x" * (LONGEST_TEXT + 1)}),
    "not a string": '{"text": 1}',
    "null": '{"text": null}',
    "not JSON": "hello",
    "nothing": "",
    "half a frame": '{"text": "x"',
    "bytes": b'{"text": "x"}',
    "not UTF-8": b"\xff\xfe",
    "a list": '[{"text": "x"}]',
    "NaN": "NaN",
    "NaN as the text": '{"text": NaN}',
    "half a surrogate pair": '{"text": "\\ud800"}',
    "half a surrogate pair in a name": '{"text": "x", "\\ud800": 1}',
    "NUL": '{"text": "a\\u0000b"}',
    "an unknown field": '{"text": "x", "user": 1}',
    "an empty client_id": '{"text": "x", "client_id": ""}',
    "a long client_id": json.dumps({"text": "x", "client_id": "x" * 65}),
    "deep": "[" * 10_000,
    "large": json.dumps({"text": "x" * 100_000}),
    "huge": "x" * 2_000_000,
}


PLAINLY_BAD = {
    *(
        "no text",
        "empty text",
        "too long",
        "not a string",
        "null",
        "not JSON",
        "half a frame",
        "a list",
    ),
}


@pytest.mark.requirement("8.2")
@pytest.mark.contract("C7")
@pytest.mark.every_variant
@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(frame, id=name, marks=() if name in PLAINLY_BAD else pytest.mark.craft)
        for name, frame in BAD_FRAMES.items()
    ],
)
def test_an_invalid_frame_gets_an_error_and_the_socket_stays_open(
    ada: Person, bob: Person, frame: str | bytes
) -> None:
    before = ada.tell(new_text())
    ada.socket.send(frame)
    error = ada.error()
    assert {"type", "detail"} <= error.keys() <= {"type", "detail", "client_id"}
    assert isinstance(error["detail"], str)
    assert 0 < len(error["detail"]) < 1000
    after = ada.tell(new_text())
    assert bob.message(after["text"]) == after
    assert cores(history(ada.api, after=before["id"])) == [core(after)]
    assert [frame for frame in bob.received if frame["type"] == "error"] == []


@pytest.mark.requirement("8.4")
@pytest.mark.craft("C9")
def test_a_client_that_sends_too_fast_gets_errors_and_stays_connected(
    ada: Person, bob: Person
) -> None:
    run = new_text()
    for number in range(1000):
        ada.say(f"{run} {number}")
    replies = [
        ada.receive(lambda frame: frame["type"] == "error" or run in frame.get("text", ""))
        for _ in range(1000)
    ]
    stored = [frame for frame in replies if frame["type"] == "message"]
    assert MESSAGES <= len(stored) < 500
    assert all("fast" in frame["detail"] for frame in replies if frame["type"] == "error")
    end = new_text()

    def tell_when_let(frame: dict[str, Any]) -> bool:
        return frame.get("text") == end or frame["type"] == "error"

    while True:  # after an error the client tries again
        ada.say(end, client_id=end)
        if ada.receive(tell_when_let)["type"] == "message":
            break
    bob.message(end)
    assert [each for each in bob.received if run in each.get("text", "")] == stored
