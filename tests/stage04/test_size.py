"""Requirement 4.6: a file has at most 5 MiB, also in a chunked upload."""

from collections.abc import Iterator

import pytest

from course.harness.contract import variants
from course.harness.driver import Api
from course.harness.raw_http import chunk, send_raw
from tests.stage04.pictures import JPEG, PNG, jpeg, jpeg_of_size, png_of_size
from tests.stage04.uploads import MAX_FILE_SIZE, disposition, form, new_image, part, upload

pytestmark = pytest.mark.usefixtures("nothing_is_left")

MIB = 1024 * 1024
TOO_MUCH = 8 * MIB
PIECE = b"x" * 65_536


def delete_image(api: Api, image_id: str) -> None:
    """Delete an image, so that the test leaves no file."""
    assert api.request("DELETE", f"/images/{image_id}").status_code == 204


@pytest.mark.requirement("4.6")
@pytest.mark.contract("I3", "E22")
def test_a_file_of_exactly_5_mib_is_accepted(api: Api) -> None:
    delete_image(api, new_image(api, png_of_size(MAX_FILE_SIZE))["id"])


@pytest.mark.requirement("4.6")
@pytest.mark.craft
def test_a_png_of_exactly_5_mib_is_accepted(api: Api) -> None:
    content = png_of_size(MAX_FILE_SIZE)
    stored = new_image(api, content)
    assert stored["size"] == len(content) == MAX_FILE_SIZE
    assert api.request("GET", stored["url"]).content == content
    delete_image(api, stored["id"])


@pytest.mark.requirement("4.6")
@pytest.mark.craft
def test_a_jpeg_of_exactly_5_mib_with_a_long_name_is_accepted(api: Api) -> None:
    content = jpeg_of_size(jpeg(), MAX_FILE_SIZE)
    answer = upload(api, content, content_type=JPEG, filename="ж" * 200)
    assert (answer.status_code, answer.json().get("size")) == (201, MAX_FILE_SIZE)
    delete_image(api, answer.json()["id"])


@pytest.mark.requirement("4.6")
@pytest.mark.contract("I3", "E22")
@pytest.mark.parametrize("excess", [1, 2, 1000, 100_000])
def test_a_picture_over_5_mib_gets_413(api: Api, excess: int) -> None:
    assert upload(api, png_of_size(MAX_FILE_SIZE + excess)).status_code == 413


@pytest.mark.requirement("4.6")
@pytest.mark.craft("E23")
def test_a_413_has_a_reason_in_json(api: Api) -> None:
    answer = upload(api, png_of_size(MAX_FILE_SIZE + 1))
    assert answer.status_code == 413
    assert isinstance(answer.json()["detail"], str)


@pytest.mark.requirement("4.6")
@pytest.mark.craft
def test_a_large_file_that_is_not_a_picture_gets_413(api: Api) -> None:
    assert upload(api, b"x" * (MAX_FILE_SIZE + 1)).status_code == 413


def request_of(size: int) -> tuple[bytes, bytes, dict[str, str]]:
    """Return the body before and after a file in a form, and the headers of the form."""
    mark = b"the file goes here"
    body, headers = form(part(disposition("large.png"), mark, PNG))
    before, after = body.split(mark)
    assert size > len(body)
    return before, after, headers


@pytest.mark.requirement("4.6")
@pytest.mark.contract("I3", "E22")
@pytest.mark.parametrize(
    "size", variants([TOO_MUCH, 10**12, 2**63, 10**30], craft=[10**12, 2**63, 10**30])
)
def test_a_content_length_over_the_limit_gets_413_before_the_body(api: Api, size: int) -> None:
    before, _, headers = request_of(TOO_MUCH)
    headers |= {"Content-Length": str(size), "Authorization": f"Bearer {api.token}"}
    pieces = [before, *[PIECE] * (TOO_MUCH // len(PIECE))]
    answer = send_raw(api.server, "POST", "/images", pieces, headers=headers)
    assert answer.status in (400, 413) if size > 2**62 else answer.status == 413


@pytest.mark.requirement("4.6")
@pytest.mark.contract("I3", "E22")
def test_a_chunked_upload_over_the_limit_gets_413(api: Api) -> None:
    before, after, headers = request_of(TOO_MUCH)
    headers |= {"Transfer-Encoding": "chunked", "Authorization": f"Bearer {api.token}"}

    def pieces() -> Iterator[bytes]:
        yield chunk(before)
        for _ in range(TOO_MUCH // len(PIECE)):
            yield chunk(PIECE)
        yield chunk(after)
        yield chunk(b"")

    assert send_raw(api.server, "POST", "/images", pieces(), headers=headers).status == 413


@pytest.mark.requirement("4.6")
@pytest.mark.craft
def test_a_picture_in_a_chunked_upload_is_accepted(api: Api) -> None:
    content = png_of_size(MAX_FILE_SIZE // 2)
    body, headers = form(part(disposition("chunks.png"), content, PNG))
    pieces = (body[start : start + 50_000] for start in range(0, len(body), 50_000))
    answer = api.request("POST", "/images", content=pieces, headers=headers)
    assert (answer.status_code, answer.json().get("size")) == (201, len(content))
    delete_image(api, answer.json()["id"])


@pytest.mark.requirement("4.6")
@pytest.mark.craft
@pytest.mark.parametrize("content_type", ["application/json", PNG, "text/plain"])
def test_a_body_that_is_not_a_form_has_a_limit(api: Api, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    answer = api.request("POST", "/images", content=b"x" * TOO_MUCH, headers=headers)
    assert answer.status_code == 413
    assert isinstance(answer.json()["detail"], str)


@pytest.mark.requirement("4.6")
@pytest.mark.craft
def test_a_text_field_in_the_form_has_a_limit(api: Api) -> None:
    text = part(b'form-data; name="description"', b"x" * (2 * MIB), None)
    body, headers = form(text, part(disposition("small.png"), png_of_size(1000), PNG))
    answer = api.request("POST", "/images", content=body, headers=headers)
    assert answer.status_code in (413, 422)


@pytest.mark.requirement("4.6")
@pytest.mark.contract("E22")
@pytest.mark.parametrize(
    "path",
    variants(
        ["/todos", "/auth/register", "/auth/token", "/images/x"],
        craft=["/auth/token", "/images/x"],
    ),
)
def test_other_routes_keep_the_smaller_limit(api: Api, path: str) -> None:
    body = b'{"title": "%b"}' % (b"x" * MIB)
    answer = api.request("POST", path, content=body)
    assert answer.status_code in ((405, 413) if path == "/images/x" else (413,))
