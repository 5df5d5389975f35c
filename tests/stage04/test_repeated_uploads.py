"""Requirement 4.1: an upload that is repeated with its `Idempotency-Key` is stored once."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.raw_http import connect, head
from course.harness.server import LaunchedServer
from course.harness.waiting import eventually, in_parallel
from tests.stage04.pictures import JPEG, PNG, jpeg, png
from tests.stage04.storage import files_in, media_of, rows_of
from tests.stage04.uploads import disposition, form, list_images, new_image, part

pytestmark = pytest.mark.craft("I12")

AT_ONCE = 8


def send(
    api: Api,
    key: str | bytes | None,
    *,
    content: bytes | None = None,
    filename: str = "picture.png",
    content_type: str = PNG,
) -> httpx.Response:
    """Upload a picture with that key."""
    body, headers = form(part(disposition(filename), content or png(), content_type))
    keys: dict[str, Any] = {} if key is None else {"Idempotency-Key": key}  # httpx takes bytes too
    return api.request("POST", "/images", content=body, headers=headers | keys)


def new_key() -> str:
    """Return a new key, as a page makes one."""
    return uuid.uuid4().hex


@pytest.mark.requirement("4.1")
@pytest.mark.users
def test_a_repeated_upload_gets_the_first_image(api: Api) -> None:
    key = new_key()
    first, again = send(api, key), send(api, key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["Location"] == first.headers["Location"]
    assert list_images(api) == [first.json()]
    assert api.request("GET", first.json()["url"]).content == png()


@pytest.mark.requirement("4.1")
@pytest.mark.users
def test_simultaneous_uploads_with_one_key_store_one_image(
    api: Api, launched_server: LaunchedServer
) -> None:
    key, before = new_key(), len(files_in(media_of(launched_server)))
    sent = in_parallel(AT_ONCE, lambda _: send(api, key))
    assert not sent.errors
    assert [answer.status_code for answer in sent.results] == [201] * AT_ONCE
    assert len({answer.json()["id"] for answer in sent.results}) == 1
    assert len(list_images(api)) == 1
    files = files_in(media_of(launched_server))
    assert len(files) == before + 1
    assert files == rows_of(launched_server)


@pytest.mark.requirement("4.1")
@pytest.mark.users
def test_each_upload_without_a_key_is_stored(api: Api) -> None:
    ids = {send(api, None).json()["id"] for _ in range(2)}
    assert len(ids) == len(list_images(api)) == 2


@pytest.mark.requirement("4.1")
@pytest.mark.users
def test_the_key_of_another_user_has_no_effect(api: Api) -> None:
    key, other = new_key(), api.as_new_user()
    first, theirs = send(api, key), send(other, key)
    assert (first.status_code, theirs.status_code) == (201, 201)
    assert first.json()["id"] != theirs.json()["id"]
    assert list_images(other) == [theirs.json()]


@pytest.mark.requirement("4.1")
@pytest.mark.users
@pytest.mark.parametrize(
    "other",
    [{"filename": "other.png"}, {"content": jpeg(), "content_type": JPEG}],
    ids=["name", "content"],
)
def test_a_key_that_was_used_for_another_file_gets_422(api: Api, other: dict[str, Any]) -> None:
    key = new_key()
    first = send(api, key)
    refused = send(api, key, **other)
    assert refused.status_code == 422
    assert "Key" in refused.text or "key" in refused.text
    assert list_images(api) == [first.json()]


@pytest.mark.requirement("4.1")
@pytest.mark.parametrize("key", ["", "ключ".encode()])
def test_an_invalid_key_gets_422(api: Api, key: str | bytes) -> None:
    refused = send(api, key)
    assert refused.status_code == 422
    assert "Idempotency-Key" in refused.text
    assert list_images(api) == []


# The capstone remembers keys in a table, so there a key may be any text.
@pytest.mark.until(stage=8, successor="C.1")
@pytest.mark.requirement("4.1")
def test_a_key_that_is_no_uuid_gets_422(api: Api) -> None:
    refused = send(api, "1")
    assert refused.status_code == 422
    assert "Idempotency-Key" in refused.text
    assert list_images(api) == []


@pytest.mark.requirement("4.1")
def test_a_refused_file_does_not_use_up_its_key(api: Api) -> None:
    key = new_key()
    assert send(api, key, content=png()[:-30]).status_code == 422
    assert send(api, key).status_code == 201


@pytest.mark.requirement("4.1")
@pytest.mark.own_stage("app/images/")
def test_a_repeated_upload_does_not_count_as_another_picture(launch: Launch) -> None:
    server = launch(MAX_IMAGES_PER_USER="1")
    with Api(server) as visitor:
        api, key = visitor.as_new_user(), new_key()
        assert [send(api, key).status_code for _ in range(2)] == [201, 201]
        assert send(api, new_key()).status_code == 409


@pytest.mark.requirement("4.1")
@pytest.mark.own_stage("app/images/")
def test_an_upload_whose_answer_was_lost_is_stored_once_also_after_a_kill(launch: Launch) -> None:
    server = launch()
    with Api(server) as visitor:
        api, key = visitor.as_new_user(), new_key()
        body, headers = form(part(disposition("picture.png"), png(), PNG))
        headers |= {"Authorization": f"Bearer {api.token}", "Idempotency-Key": key}
        with connect(server) as socket:
            length = {"Content-Length": str(len(body))}
            socket.sendall(head(server, "POST", "/images", headers | length) + body)
            eventually(lambda: rows_of(server))
        # The connection is closed before the client reads the answer.
        server.kill()
        server.start()
        again = send(api, key)
        assert again.status_code == 201
        assert list_images(api) == [again.json()]
        assert files_in(media_of(server)) == rows_of(server)
        new_image(api)
