"""Requirement 1.6 and the body limit: every malformed body gets an answer other than 500."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from course.harness.contract import variants
from course.harness.driver import Api
from course.harness.raw_http import chunk, connect, head, send_raw
from course.harness.server import Server

pytestmark = pytest.mark.craft

MIB = 1024 * 1024
ALWAYS_READ = 100_000  # bytes
SHORT = 4_000  # bytes
ONE_ERROR = 800  # bytes; ten errors, one for each unknown field, take more
QUICK = 0.1  # seconds; a server that reports an error for each field takes longer
CHUNKED = {"Transfer-Encoding": "chunked"}

BODIES: dict[str, bytes] = {
    "nothing": b"",
    "blank": b" ",
    "null": b"null",
    "array": b'[{"title": "t"}]',
    "string": b'"title"',
    "number": b"1",
    "not JSON": b"title=t",
    "cut short": b'{"title": "t"',
    "trailing comma": b'{"title": "t",}',
    "two documents": b'{"title": "t"} {"title": "t"}',
    "single quotes": b"{'title': 't'}",
    "NaN": b'{"title": NaN}',
    "NaN beside": b'{"title": "t", "completed": NaN}',
    "NaN in an unknown field": b'{"title": "t", "x": NaN}',
    "Infinity": b'{"title": "t", "description": Infinity}',
    "minus Infinity": b'{"title": -Infinity}',
    "number too great": b'{"title": 1e999}',
    "half a surrogate pair": rb'{"title": "\ud800"}',
    "the other half": rb'{"title": "t", "description": "a\udfffb"}',
    "half a pair in an unknown field": rb'{"title": "t", "x": "\ud800"}',
    "half a pair as a key": rb'{"title": "t", "\ud800": 1}',
    "invalid UTF-8": b'{"title": "\xff\xfe"}',
    "UTF-8 cut short": b'{"title": "\xd0"}',
    "overlong UTF-8": b'{"title": "\xc0\xaf"}',
    "Latin-1": '{"title": "ä"}'.encode("latin-1"),
    "surrogate in UTF-8": b'{"title": "\xed\xa0\x80"}',
    "a raw newline": b'{"title": "a\nb"}',
    "arrays 100 000 deep": b"[" * 100_000,
    "closed arrays 50 000 deep": b"[" * 50_000 + b"]" * 50_000,
    "objects 50 000 deep": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "deep in a field": b'{"title": ' + b"[" * 2_000 + b"]" * 2_000 + b"}",
    "a number of 5 000 digits": b'{"title": ' + b"9" * 5_000 + b"}",
    "an unknown number of 5 000 digits": b'{"title": "t", "x": ' + b"9" * 5_000 + b"}",
    "ten thousand unknown fields": b'{"title": "t"'
    + b"".join(b', "f%d": 1' % number for number in range(10_000))
    + b"}",
}


# Every server refuses these bodies. JSON parsers differ about the other ones.
UNPARSABLE = {
    *("nothing", "blank", "not JSON", "cut short", "trailing comma", "two documents"),
    "single quotes",
}
NO_TODO = {"null", "array", "string", "number"}


@pytest.mark.requirement("1.6", "2.6")
@pytest.mark.contract("E4", "E6")
@pytest.mark.every_variant
@pytest.mark.parametrize("name", variants(BODIES, craft=BODIES.keys() - UNPARSABLE - NO_TODO))
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_malformed_body_gets_422_and_the_server_keeps_running(
    api: Api, method: str, name: str
) -> None:
    path = "/todos" if method == "POST" else f"/todos/{api.create_todo()['id']}"
    answer = api.request(method, path, content=BODIES[name])
    if name in UNPARSABLE:
        assert answer.status_code in (400, 422)
    else:  # a server may have a lower limit: 1 MiB is the highest allowed
        assert answer.status_code in ((422,) if len(BODIES[name]) <= ALWAYS_READ else (413, 422))
    assert answer.json()["detail"]
    assert api.create_todo()["id"]


@pytest.mark.requirement("1.6")
@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "nonsense",
        "application/json; charset=utf-16",
    ],
)
def test_a_body_of_another_content_type_is_refused_or_read_as_json(
    api: Api, content_type: str
) -> None:
    headers = {"Content-Type": content_type}
    answer = api.request("POST", "/todos", content=b'{"title": "t"}', headers=headers)
    understood = (201, 422) if content_type.startswith("application/json") else (415, 422)
    assert answer.status_code in understood
    assert "detail" in answer.json() or answer.json()["title"] == "t"


@pytest.mark.requirement("1.6")
@pytest.mark.parametrize("title", ["a\x00b", "\x00", "a\x7fb", "a\u2028b", "\ufeffa", "a\uffffb"])
def test_an_unusual_character_is_stored_unchanged_or_refused(api: Api, title: str) -> None:
    answer = api.request("POST", "/todos", json={"title": title, "description": title})
    assert answer.status_code in (201, 422)
    if answer.status_code == 201:
        todo = api.get_todo(answer.json()["id"])
        assert (todo["title"], todo["description"]) == (title, title)


@pytest.mark.requirement("1.6")
def test_a_duplicate_key_causes_no_server_error(api: Api) -> None:
    answer = api.request("POST", "/todos", content=b'{"title": "a", "title": "b"}')
    assert answer.status_code in (201, 422)


@pytest.mark.requirement("1.6")
@pytest.mark.contract("T3", "E4")
@pytest.mark.parametrize("length", [ALWAYS_READ - 64, MIB - 64])
def test_a_body_under_the_limit_gets_no_413(api: Api, length: int) -> None:
    answer = api.request("POST", "/todos", json={"title": "t" * length})
    assert answer.status_code in (413, 422)


@pytest.mark.requirement("1.6")
@pytest.mark.contract("T3")
@pytest.mark.parametrize("letter", variants("ж🥛", craft="🥛"))
def test_the_longest_todo_is_accepted_with_escaped_characters(api: Api, letter: str) -> None:
    """A character takes up to two escapes of six bytes, so 2 200 characters take 26 kB."""
    title, description = letter * 200, letter * 2000
    body = json.dumps({"title": title, "description": description}).encode("ascii")
    answer = api.request("POST", "/todos", content=body)
    assert answer.status_code == 201
    assert answer.json()["description"] == description


FLOODS: dict[str, bytes] = {
    "unknown fields": b'{"title": "t"' + b"".join(b', "%x": 0' % n for n in range(9_000)) + b"}",
    "wrong fields again and again": b"{" + b'"title": 0, ' * 8_000 + b'"title": 0}',
    "a field name of 90 kB": b'{"title": "t", "' + b"x" * 90_000 + b'": 1}',
    "an escaped field name": b'{"title": "t", "' + rb"\ud83e\udd5b" * 8_000 + b'": 1}',
}


@pytest.mark.requirement("1.6")
@pytest.mark.craft("E9")
@pytest.mark.alone
@pytest.mark.parametrize("name", FLOODS)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_body_with_thousands_of_errors_gets_a_short_answer_quickly(
    api: Api, method: str, name: str
) -> None:
    path = "/todos" if method == "POST" else f"/todos/{api.create_todo()['id']}"
    took = []
    for _ in range(5):
        asked = time.monotonic()
        answer = api.request(method, path, content=FLOODS[name])
        took.append(time.monotonic() - asked)
        assert answer.status_code in (413, 422)
        assert len(answer.content) < (ONE_ERROR if name == "unknown fields" else SHORT)
    assert min(took) < QUICK, took


@pytest.mark.requirement("1.6")
@pytest.mark.contract("E22", since=4)
def test_a_body_over_the_limit_gets_413(api: Api) -> None:
    answer = api.request("POST", "/todos", json={"title": "t" * (MIB + 1)})
    assert answer.status_code == 413


@pytest.mark.requirement("1.6")
@pytest.mark.craft("E23")
def test_a_413_has_a_reason_in_json(api: Api) -> None:
    answer = api.request("POST", "/todos", json={"title": "t" * (MIB + 1)})
    assert answer.status_code == 413
    assert isinstance(answer.json()["detail"], str)


def authorized(api: Api, headers: dict[str, str]) -> dict[str, str]:
    """Return the headers, with the driver's token if it has one."""
    return headers | ({"Authorization": f"Bearer {api.token}"} if api.token else {})


@pytest.mark.requirement("1.6")
@pytest.mark.craft("E23")
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_content_length_over_the_limit_gets_a_readable_413(api: Api, method: str) -> None:
    """A client that declares 2 MiB and continues to send still receives the reason."""
    path = "/todos" if method == "POST" else f"/todos/{api.create_todo()['id']}"
    headers = authorized(api, {"Content-Length": str(2 * MIB)})
    answer = send_raw(api.server, method, path, [b"x" * 65_536] * 32, headers=headers)
    assert_too_large(answer.status, answer.headers, answer.body)


def too_many_chunks() -> Iterator[bytes]:
    """Yield a body of 16 MiB; the limit is 1 MiB."""
    yield chunk(b'{"title": "')
    for _ in range(16 * 16):
        yield chunk(b"x" * 65_536)


@pytest.mark.requirement("1.6", "4.6")
@pytest.mark.contract("E22", since=4)
def test_a_chunked_body_over_the_limit_gets_413(api: Api) -> None:
    """Some servers answer at once and others after the last chunk, so this body ends."""
    pieces = [chunk(b'{"title": "'), *[chunk(b"x" * 65_536)] * 32, chunk(b'"}'), chunk(b"")]
    answer = send_raw(api.server, "POST", "/todos", pieces, headers=authorized(api, CHUNKED))
    assert answer.status == 413


@pytest.mark.requirement("1.6")
@pytest.mark.craft("E23")
def test_an_endless_chunked_body_gets_413(api: Api) -> None:
    chunks = too_many_chunks
    answer = send_raw(api.server, "POST", "/todos", chunks(), headers=authorized(api, CHUNKED))
    assert_too_large(answer.status, answer.headers, answer.body)


@pytest.mark.requirement("1.3")
def test_a_todo_in_a_chunked_body_is_accepted(api: Api) -> None:
    pieces = [b'{"ti', b'tle": "in ', b'chunks"}']
    answer = api.request("POST", "/todos", content=iter(pieces))
    assert (answer.status_code, answer.json().get("title")) == (201, "in chunks")


def assert_too_large(status: int, headers: dict[str, str], body: bytes) -> None:
    """Check that the answer is a 413 in JSON with a reason."""
    assert status == 413
    assert headers["content-type"].startswith(("application/json", "application/problem+json"))
    assert b'"detail"' in body


@pytest.mark.requirement("1.6")
@pytest.mark.craft("E7")
@pytest.mark.parametrize("headers", [{"Content-Length": "100"}, CHUNKED], ids=str)
def test_a_client_that_disconnects_during_its_body_causes_no_error(
    api: Api, server: Server, headers: dict[str, Any]
) -> None:
    for _ in range(5):
        with connect(server) as connection:
            connection.sendall(head(server, "POST", "/todos", authorized(api, headers)))
            connection.sendall(b'5\r\n{"tit')
    assert api.create_todo("after them")["title"] == "after them"


@pytest.mark.requirement("1.6")
@pytest.mark.craft("E7")
@pytest.mark.parametrize(
    "request_text",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /todos HTTP/9.9\r\n\r\n",
        b"GET /todos HTTP/1.1\r\nX-Long: " + b"x" * 200_000 + b"\r\n\r\n",
    ],
    ids=["bytes", "no path", "no such version", "an endless header"],
)
def test_a_request_that_is_not_http_causes_no_error(
    api: Api, server: Server, request_text: bytes
) -> None:
    with connect(server) as connection:
        connection.sendall(request_text)
    assert api.create_todo("after it")["title"] == "after it"
