"""Requirement C.1: every picture has thumbnails, and no thumbnail remains without its picture."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.server import LaunchedServer
from course.harness.waiting import eventually, in_parallel
from tests.stage04.pictures import GREY, JPEG, PNG, SIDEWAYS, exif, jpeg, png, png_of, saved
from tests.stage04.storage import files_in, media_of, rows_of
from tests.stage04.uploads import Image as Stored
from tests.stage04.uploads import new_image

pytestmark = [
    pytest.mark.craft("I13"),
    pytest.mark.deployment("plain"),
]

SIZES = (256, 512)
WEBP = "image/webp"
NOT_OURS = ["notes.txt", "0" * 31 + "-256.webp", "holiday.webp"]


def thumbnail(stored: Stored, size: int) -> str:
    """Return the path of a thumbnail in the API."""
    return f"/images/{stored['id']}/thumbnail?size={size}"


def directory(server: LaunchedServer) -> Path:
    """Return the directory in which the server keeps its thumbnails."""
    return media_of(server) / "thumbnails"


def name_of(server: LaunchedServer, stored: Stored, size: int) -> str:
    """Return the name of the file of a thumbnail."""
    statement = "SELECT path FROM images WHERE id = ?"
    path: str = server.database.query(statement, stored["id"].replace("-", ""))[0][0]
    return f"{Path(path).stem}-{size}.webp"


def stored_names(server: LaunchedServer) -> set[str]:
    """Return the names of all files of thumbnails."""
    return {path.name for path in directory(server).iterdir()}


def shown(api: Api, stored: Stored, size: int) -> Image.Image:
    """Return a thumbnail, decoded."""
    answer = api.request("GET", thumbnail(stored, size))
    assert (answer.status_code, answer.headers["content-type"]) == (200, WEBP)
    picture = Image.open(io.BytesIO(answer.content))
    picture.load()
    return picture


@pytest.fixture
def own_server(launch: Launch) -> LaunchedServer:
    """Return a server whose directory no other test uses."""
    return launch()


@pytest.fixture
def own_api(own_server: LaunchedServer) -> Iterator[Api]:
    """Return a driver of that server."""
    with Api(own_server) as visitor:
        yield visitor.as_new_user()


@pytest.mark.requirement("C.1")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (saved(Image.new("RGB", (2000, 1500), "#204060"), "JPEG"), JPEG),
        (saved(Image.new("RGB", (1500, 2000), "#204060"), "JPEG", progressive=True), JPEG),
        (saved(Image.new("CMYK", (900, 800)), "JPEG"), JPEG),
        (saved(Image.new("RGBA", (900, 800), (255, 0, 0, 0)), "PNG"), PNG),
        (saved(Image.new("P", (900, 800)), "PNG"), PNG),
        (saved(Image.new("I;16", (900, 800), 30_000), "PNG"), PNG),
    ],
    ids=["photo", "progressive", "cmyk", "transparent", "palette", "16 bits"],
)
def test_a_thumbnail_is_a_square_of_the_asked_size(
    api: Api, content: bytes, content_type: str, size: int
) -> None:
    picture = shown(api, new_image(api, content, content_type), size)
    assert picture.size == (size, size)
    assert picture.format == "WEBP"
    assert not picture.getexif()
    assert "icc_profile" not in picture.info


@pytest.mark.requirement("C.1")
def test_a_transparent_picture_keeps_its_transparency(api: Api) -> None:
    content = saved(Image.new("RGBA", (900, 800), (255, 0, 0, 0)), "PNG")
    assert shown(api, new_image(api, content), 256).convert("RGBA").getpixel((9, 9)) == (0, 0, 0, 0)


@pytest.mark.requirement("C.1")
def test_a_small_picture_is_not_enlarged(api: Api) -> None:
    content = saved(Image.new("RGB", (64, 48), "red"), "PNG")
    assert shown(api, new_image(api, content), 512).size == (64, 48)


@pytest.mark.requirement("C.1")
def test_a_thumbnail_is_turned_like_its_picture(api: Api) -> None:
    """The gradient goes from black at the top to white; the camera lay on its side."""
    content = jpeg(1200, 1200, exif=exif(orientation=SIDEWAYS, location=True))
    pixels = shown(api, new_image(api, content, JPEG), 256).convert("L").tobytes()
    left, right, top = (pixels[y * 256 + x] for x, y in ((10, 128), (245, 128), (128, 10)))
    assert left > 200 > top > 50 > right


@pytest.mark.requirement("C.1")
def test_a_thumbnail_is_public_and_has_the_headers_of_a_picture(api: Api) -> None:
    stored, visitor = new_image(api), api.with_token(None)
    answer = visitor.request("GET", f"/images/{stored['id']}/thumbnail")
    assert answer.status_code == 200
    assert answer.content == api.request("GET", thumbnail(stored, 256)).content
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"] == "inline"
    same = {"If-None-Match": answer.headers["etag"]}
    unchanged = visitor.request("GET", thumbnail(stored, 256), headers=same)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    part = visitor.request("GET", thumbnail(stored, 256), headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, b"RIFF")
    beyond = visitor.request("GET", thumbnail(stored, 256), headers={"Range": "bytes=9999999-"})
    assert beyond.status_code == 416
    head = visitor.request("HEAD", thumbnail(stored, 512))
    assert (head.status_code, head.headers["content-type"]) == (200, WEBP)


@pytest.mark.requirement("C.1")
def test_an_unknown_picture_or_size_has_no_thumbnail(api: Api) -> None:
    stored = new_image(api)
    assert api.request("GET", f"/images/{uuid.uuid4()}/thumbnail").status_code == 404
    for size in ("255", "0", "512.5", "x"):
        path = f"/images/{stored['id']}/thumbnail?size={size}"
        assert api.request("GET", path).status_code == 422


@pytest.mark.requirement("C.1")
def test_thumbnails_are_made_at_the_upload_and_deleted_with_the_picture(
    own_api: Api, own_server: LaunchedServer
) -> None:
    stored = new_image(own_api)
    names = {name_of(own_server, stored, size) for size in SIZES}
    assert stored_names(own_server) == names
    own_api.request("DELETE", f"/images/{stored['id']}")
    assert stored_names(own_server) == set()
    for size in SIZES:
        assert own_api.request("GET", thumbnail(stored, size)).status_code == 404


@pytest.mark.requirement("C.1")
def test_a_picture_from_before_thumbnails_gets_them_at_the_first_request(
    own_api: Api, own_server: LaunchedServer
) -> None:
    stored = new_image(own_api)
    expected = own_api.request("GET", thumbnail(stored, 512)).content
    for size in SIZES:
        (directory(own_server) / name_of(own_server, stored, size)).unlink()
    sent = in_parallel(8, lambda _: own_api.request("GET", thumbnail(stored, 512)))
    assert {answer.content for answer in sent.results} == {expected}
    assert len(sent.results) == 8
    names = {name_of(own_server, stored, size) for size in SIZES}
    assert stored_names(own_server) == names
    assert files_in(media_of(own_server)) == rows_of(own_server)


@pytest.mark.requirement("C.1")
def test_a_picture_that_is_too_expensive_stands_for_its_thumbnail(api: Api) -> None:
    """A decoder would hold all pixels of this one, because it is interlaced."""
    content = png_of(16, GREY, size=(7_000, 7_000), interlaced=True)
    stored = new_image(api, content)
    answer = api.request("GET", thumbnail(stored, 256))
    assert (answer.status_code, answer.headers["content-type"]) == (200, PNG)
    assert answer.content == content


@pytest.mark.requirement("C.1")
def test_a_thumbnail_that_is_made_during_the_deletion_is_removed(
    own_api: Api, own_server: LaunchedServer
) -> None:
    for _ in range(10):
        stored = new_image(own_api, png(1500, 1500))
        for size in SIZES:
            (directory(own_server) / name_of(own_server, stored, size)).unlink()

        def ask_or_delete(number: int, stored: Stored = stored) -> int:
            if number:
                return own_api.request("GET", thumbnail(stored, 256)).status_code
            return own_api.request("DELETE", f"/images/{stored['id']}").status_code

        statuses = in_parallel(4, ask_or_delete).results
        assert 204 in statuses
        assert set(statuses) <= {200, 204, 404}
    eventually(lambda: files_in(media_of(own_server)) == {})


@pytest.mark.requirement("C.1")
def test_a_start_removes_thumbnails_without_a_picture_and_no_other_file(
    own_api: Api, own_server: LaunchedServer
) -> None:
    stored = new_image(own_api)
    lost = directory(own_server) / f"{uuid.uuid4().hex}-256.webp"
    lost.write_bytes(b"left by a kill")
    theirs = [directory(own_server) / name for name in NOT_OURS]
    for other in theirs:
        other.write_bytes(b"not ours")
    own_server.kill()
    own_server.start()
    assert not lost.exists()
    assert [other.read_bytes() for other in theirs] == [b"not ours"] * len(theirs)
    for size in SIZES:
        assert (directory(own_server) / name_of(own_server, stored, size)).exists()
