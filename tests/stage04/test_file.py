"""Requirement 4.4: browsers read the picture itself: cached, in ranges, and without a token."""

import httpx
import pytest

from course.harness.driver import Api
from course.harness.server import LaunchedServer
from course.harness.waiting import in_parallel
from tests.stage04.pictures import JPEG, PNG, jpeg, opened, png, png_of_size
from tests.stage04.uploads import Image, new_image

pytestmark = pytest.mark.craft

LENGTH = len(png())


@pytest.fixture
def stored(api: Api) -> Image:
    """Return an uploaded PNG."""
    return new_image(api)


@pytest.mark.requirement("4.4")
@pytest.mark.contract("I6")
@pytest.mark.parametrize(("content", "content_type"), [(png(), PNG), (jpeg(), JPEG)])
def test_a_picture_is_served_inline_with_its_type_and_an_etag(
    api: Api, content: bytes, content_type: str
) -> None:
    answer = api.request("GET", new_image(api, content, content_type)["url"])
    assert answer.status_code == 200
    served, sent = opened(answer.content), opened(content)
    assert (served.format, served.size) == (sent.format, sent.size)
    assert answer.headers["content-type"] == content_type
    assert answer.headers["x-content-type-options"] == "nosniff"
    # A browser also shows it inline if the header is missing.
    assert answer.headers.get("content-disposition", "inline").partition(";")[0] == "inline"
    assert answer.headers["etag"].strip('"')


@pytest.mark.requirement("4.4")
@pytest.mark.parametrize(("content", "content_type"), [(png(), PNG), (jpeg(), JPEG)])
def test_a_picture_is_served_with_its_exact_bytes_and_headers(
    api: Api, content: bytes, content_type: str
) -> None:
    answer = api.request("GET", new_image(api, content, content_type)["url"])
    assert answer.status_code == 200
    assert answer.content == content
    assert answer.headers["content-type"] == content_type
    assert answer.headers["content-length"] == str(len(content))
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"].partition(";")[0] == "inline"
    assert answer.headers["etag"].strip('"')


@pytest.mark.requirement("4.4")
@pytest.mark.contract("I6")
@pytest.mark.parametrize("token", [None, "expired"])
def test_a_picture_needs_no_token(api: Api, stored: Image, token: str | None) -> None:
    """`<img src>` sends no token."""
    whole = api.request("GET", stored["url"]).content
    assert opened(whole).format == "PNG"
    assert api.with_token(token).request("GET", stored["url"]).content == whole
    assert api.as_new_user().request("GET", stored["url"]).content == whole


@pytest.mark.requirement("4.4")
@pytest.mark.contract("I6")
def test_an_unchanged_picture_gets_304(api: Api, stored: Image) -> None:
    tag = api.request("GET", stored["url"]).headers["etag"]
    answer = api.request("GET", stored["url"], headers={"If-None-Match": tag})
    assert (answer.status_code, answer.content) == (304, b"")
    other = api.request("GET", stored["url"], headers={"If-None-Match": '"another"'})
    assert other.status_code == 200
    assert opened(other.content).format == "PNG"


@pytest.mark.requirement("4.4")
@pytest.mark.parametrize("template", ["{tag}", "W/{tag}", '"x", {tag}', '"x",{tag},"y"', "*"])
def test_a_cached_picture_is_not_sent_again(api: Api, stored: Image, template: str) -> None:
    tag = api.request("GET", stored["url"]).headers["etag"]
    headers = {"If-None-Match": template.format(tag=tag)}
    answer = api.request("GET", stored["url"], headers=headers)
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == tag
    assert "content-type" not in answer.headers or answer.headers["content-type"] == PNG


@pytest.mark.requirement("4.4")
@pytest.mark.parametrize("tag", ['"another"', 'W/"another"', "", "nonsense", '"' + "x" * 5000])
def test_a_different_etag_gets_the_picture(api: Api, stored: Image, tag: str) -> None:
    answer = api.request("GET", stored["url"], headers={"If-None-Match": tag})
    assert (answer.status_code, answer.content) == (200, png())


@pytest.mark.requirement("4.4")
def test_each_picture_has_its_own_etag(api: Api, stored: Image) -> None:
    other = new_image(api, jpeg(), JPEG)
    tags = {api.request("GET", url).headers["etag"] for url in (stored["url"], other["url"])}
    assert len(tags) == 2
    again = api.request("GET", stored["url"]).headers["etag"]
    assert again in tags


@pytest.mark.requirement("4.4")
@pytest.mark.craft("I10")
@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("0-9", 0, 9),
        ("10-", 10, LENGTH - 1),
        ("-10", LENGTH - 10, LENGTH - 1),
        ("0-0", 0, 0),
        (f"0-{LENGTH * 10}", 0, LENGTH - 1),
        (f"{LENGTH - 1}-", LENGTH - 1, LENGTH - 1),
    ],
)
def test_a_range_request_returns_that_part_of_the_picture(
    api: Api, stored: Image, asked: str, first: int, last: int
) -> None:
    answer = api.request("GET", stored["url"], headers={"Range": f"bytes={asked}"})
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{LENGTH}"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.content == png()[first : last + 1]


@pytest.mark.requirement("4.4")
@pytest.mark.craft("I10")
@pytest.mark.parametrize("asked", [f"{LENGTH}-", "99999-100000", "9" * 30 + "-", "-0"])
def test_a_range_past_the_end_gets_416(api: Api, stored: Image, asked: str) -> None:
    answer = api.request("GET", stored["url"], headers={"Range": f"bytes={asked}"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{LENGTH}"
    assert isinstance(answer.json()["detail"], str)


@pytest.mark.requirement("4.4")
@pytest.mark.craft("I10")
@pytest.mark.parametrize(
    "asked",
    [
        *(
            "items=0-9",
            "none",
            "nonsense",
            "",
            "bytes",
            "bytes=",
            "bytes=x-y",
            "bytes=-",
            "bytes=--1",
        ),
        *("bytes=5-2", "bytes=0x0-0x9", "bytes=1_0-", "bytes=" + "9" * 5000),
    ],
    ids=lambda asked: asked[:20],
)
def test_an_invalid_range_is_ignored(api: Api, stored: Image, asked: str) -> None:
    """RFC 9110, 14.2."""
    answer = api.request("GET", stored["url"], headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, png())


@pytest.mark.requirement("4.4")
@pytest.mark.craft("I10")
@pytest.mark.parametrize("asked", ["BYTES=0-9", "bytes= 0-9"])
def test_a_range_in_another_spelling_is_accepted(api: Api, stored: Image, asked: str) -> None:
    answer = api.request("GET", stored["url"], headers={"Range": asked})
    assert (answer.status_code, answer.content) == (206, png()[:10])


@pytest.mark.requirement("4.4")
@pytest.mark.craft("I10")
@pytest.mark.parametrize(
    "asked",
    ["bytes=0-0,2-3", "bytes=0-0,-1,5-", "bytes=0-9,99999-", "bytes=" + "0-0," * 2000 + "1-1"],
    ids=lambda asked: asked[:20],
)
def test_several_ranges_cause_no_server_error(api: Api, stored: Image, asked: str) -> None:
    answer = api.request("GET", stored["url"], headers={"Range": asked})
    assert answer.status_code in (200, 206)
    assert answer.status_code != 200 or answer.content == png()
    assert len(answer.content) < 100 * LENGTH


@pytest.mark.requirement("4.4")
@pytest.mark.craft("I10")
def test_if_range_with_another_etag_gets_the_whole_picture(api: Api, stored: Image) -> None:
    tag = api.request("GET", stored["url"]).headers["etag"]
    headers = {"Range": "bytes=0-9"}
    same = api.request("GET", stored["url"], headers=headers | {"If-Range": tag})
    assert (same.status_code, same.content) == (206, png()[:10])
    other = api.request("GET", stored["url"], headers=headers | {"If-Range": '"another"'})
    assert (other.status_code, other.content) == (200, png())


@pytest.mark.requirement("4.4")
@pytest.mark.contract("I7", "E3", "E5")
def test_a_deleted_picture_gets_404_even_with_its_etag(api: Api, stored: Image) -> None:
    tag = api.request("GET", stored["url"]).headers["etag"]
    api.request("DELETE", f"/images/{stored['id']}")
    answer = api.request("GET", stored["url"], headers={"If-None-Match": tag})
    assert answer.status_code == 404
    assert isinstance(answer.json()["detail"], str)


@pytest.mark.requirement("4.4")
@pytest.mark.own_stage("app/images/")
def test_a_picture_deleted_during_a_read_is_complete_or_404(
    api: Api, launched_server: LaunchedServer
) -> None:
    content = png_of_size(200_000)
    for _ in range(20):
        stored = new_image(api, content)

        def read_or_delete(number: int, stored: Image = stored) -> httpx.Response:
            method, path = (
                ("DELETE", f"/images/{stored['id']}") if number == 4 else ("GET", stored["url"])
            )
            return api.request(method, path)

        answers = in_parallel(9, read_or_delete)
        assert not answers.errors
        deleted = answers.results.pop(4)
        assert deleted.status_code == 204
        for answer in answers.results:
            assert answer.status_code == 404 or (answer.status_code, answer.content) == (
                200,
                content,
            )
    assert "Traceback" not in launched_server.log_text()
