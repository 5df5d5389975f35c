"""Requirements 4.1 and 4.3: uploading a JPEG or PNG returns its metadata."""

from datetime import datetime, timedelta
from urllib.parse import urljoin

import pytest
from PIL import Image

from course.harness.contract import variants
from course.harness.driver import Api
from course.harness.waiting import in_parallel
from tests.stage04.pictures import (
    GREY,
    HEIGHT,
    JPEG,
    PNG,
    RGB,
    SIDEWAYS,
    SRGB,
    WIDTH,
    chunk,
    exif,
    image,
    jpeg,
    opened,
    png,
    png_of,
    saved,
    with_chunk,
)
from tests.stage04.uploads import FIELDS, disposition, form, list_images, new_image, part, upload

PICTURES: dict[str, tuple[bytes, str]] = {
    "JPEG": (jpeg(), JPEG),
    "progressive JPEG": (jpeg(progressive=True), JPEG),
    "grey JPEG": (saved(image(mode="L"), "JPEG"), JPEG),
    "CMYK JPEG": (saved(image(mode="CMYK"), "JPEG"), JPEG),
    "JPEG with a colour profile": (jpeg(icc_profile=SRGB), JPEG),
    "JPEG with restart markers": (jpeg(restart_marker_blocks=1), JPEG),
    "JPEG of full size in colour": (jpeg(subsampling=0, quality=100), JPEG),
    "small progressive CMYK JPEG": (saved(image(mode="CMYK"), "JPEG", progressive=True), JPEG),
    "PNG": (png(), PNG),
    "PNG with alpha": (saved(image(mode="RGBA"), "PNG"), PNG),
    "PNG with a palette": (saved(image(mode="P"), "PNG"), PNG),
    "PNG of 1 bit": (saved(image(mode="1"), "PNG"), PNG),
    "PNG of 16 bits": (saved(image(mode="I;16"), "PNG"), PNG),
    "PNG of 16 bits and colour": (png_of(16, RGB), PNG),
    "PNG of 2 bits": (png_of(2, GREY), PNG),
    "interlaced PNG": (png_of(8, RGB, interlaced=True), PNG),
    "interlaced PNG of 1 bit": (png_of(1, GREY, interlaced=True), PNG),
    "PNG with one colour that is transparent": (
        with_chunk(png(), chunk(b"tRNS", bytes(6)), before=b"IDAT"),
        PNG,
    ),
    "PNG with a colour profile": (png(icc_profile=SRGB, dpi=(300, 300)), PNG),
    "animated PNG": (saved(image(), "PNG", save_all=True, append_images=[image(mode="RGB")]), PNG),
}


COMMON = {
    *("JPEG", "progressive JPEG", "grey JPEG", "PNG", "PNG with alpha", "PNG with a palette"),
    "PNG of 1 bit",
}


@pytest.mark.requirement("4.1")
@pytest.mark.contract("I1", "I3", "I6", "E2")
@pytest.mark.parametrize("name", variants(PICTURES, craft=PICTURES.keys() - COMMON))
def test_uploading_a_picture_returns_all_its_metadata(api: Api, name: str) -> None:
    content, content_type = PICTURES[name]
    answer = upload(api, content, content_type=content_type, filename=f"{name}.file")
    assert answer.status_code == 201
    stored = answer.json()
    assert set(stored) == FIELDS
    assert stored["filename"] == f"{name}.file"
    assert stored["content_type"] == content_type
    assert (stored["width"], stored["height"]) == (WIDTH, HEIGHT)
    assert datetime.fromisoformat(stored["uploaded_at"]).utcoffset() == timedelta(0)
    file = api.request("GET", stored["url"])
    assert (file.status_code, file.headers["content-type"]) == (200, content_type)
    assert stored["size"] in (len(content), len(file.content))
    assert opened(file.content).size == (WIDTH, HEIGHT)


@pytest.mark.requirement("4.1")
@pytest.mark.craft
@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_without_metadata_is_served_byte_for_byte(api: Api, name: str) -> None:
    content, content_type = PICTURES[name]
    answer = upload(api, content, content_type=content_type, filename=f"{name}.file")
    assert answer.status_code == 201
    assert answer.json()["size"] == len(content)
    assert api.request("GET", answer.json()["url"]).content == content


@pytest.mark.requirement("4.1")
@pytest.mark.craft
def test_only_the_first_picture_in_a_jpeg_is_stored(api: Api) -> None:
    """A browser shows the first picture. The others are mostly previews."""
    several = saved(image(), "MPO", save_all=True, append_images=[image().rotate(180)])
    stored = new_image(api, several, JPEG)
    served = api.request("GET", stored["url"]).content
    assert served.count(b"\xff\xd8\xff") == 1
    assert opened(served).tobytes() == opened(several).tobytes()


@pytest.mark.requirement("4.1")
@pytest.mark.contract("E15", "I5")
def test_the_location_header_is_the_url_of_the_new_image(api: Api) -> None:
    answer = upload(api, png())
    location = urljoin(str(answer.url), answer.headers["location"])
    assert api.request("GET", location).json() == answer.json()


@pytest.mark.requirement("4.1")
@pytest.mark.craft("I9")
@pytest.mark.parametrize(("content_type", "make"), [(JPEG, jpeg), (PNG, png)])
@pytest.mark.parametrize("orientation", [1, 3, SIDEWAYS, 8])
def test_width_and_height_match_the_displayed_picture(
    api: Api, content_type: str, make: object, orientation: int
) -> None:
    assert callable(make)
    content = make(exif=exif(orientation=orientation))
    stored = new_image(api, content, content_type)
    shown = (HEIGHT, WIDTH) if orientation >= SIDEWAYS else (WIDTH, HEIGHT)
    assert (stored["width"], stored["height"]) == shown
    assert api.request("GET", stored["url"]).content == content  # nothing had to be removed


@pytest.mark.requirement("4.1")
@pytest.mark.craft("I9")
@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_invalid_orientation_is_ignored(api: Api, orientation: int) -> None:
    stored = new_image(api, jpeg(exif=exif(orientation=orientation)), JPEG)
    assert (stored["width"], stored["height"]) == (WIDTH, HEIGHT)


@pytest.mark.requirement("4.1")
@pytest.mark.contract("I3")
@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1)])
def test_a_tiny_or_thin_picture_is_accepted(api: Api, size: tuple[int, int]) -> None:
    stored = new_image(api, png(*size))
    assert (stored["width"], stored["height"]) == size


@pytest.mark.requirement("4.1")
@pytest.mark.craft
@pytest.mark.parametrize("declared", ["IMAGE/PNG", "image/png; charset=binary", "Image/Png ; a=b"])
def test_the_declared_type_is_accepted_in_any_spelling(api: Api, declared: str) -> None:
    assert upload(api, png(), content_type=declared).json()["content_type"] == PNG


@pytest.mark.requirement("4.1")
@pytest.mark.craft
def test_other_fields_of_the_form_are_ignored(api: Api) -> None:
    text = part(b'form-data; name="description"', b"At the sea", None)
    picture = part(disposition("sea.png"), png(), PNG)
    body, headers = form(text, picture)
    assert api.request("POST", "/images", content=body, headers=headers).status_code == 201


@pytest.mark.requirement("4.1")
@pytest.mark.contract("I3", "I7")
def test_uploading_a_picture_twice_creates_two_images(api: Api) -> None:
    first, second = new_image(api), new_image(api)
    assert first["id"] != second["id"]
    assert first["url"] != second["url"]
    api.request("DELETE", f"/images/{first['id']}")
    assert api.request("GET", second["url"]).status_code == 200


@pytest.mark.requirement("4.1")
@pytest.mark.own_stage("app/images/")
@pytest.mark.contract("I3")
def test_concurrent_uploads_each_create_an_image(api: Api) -> None:
    contents = [png(number + 1, 5) for number in range(20)]
    made = in_parallel(20, lambda number: new_image(api, contents[number]))
    assert not made.errors
    assert [stored["width"] for stored in made.results] == [number + 1 for number in range(20)]
    for number, stored in enumerate(made.results):
        served = opened(api.request("GET", stored["url"]).content)
        assert served.size == (number + 1, 5)
    assert len(list_images(api, limit=100)) == 20


@pytest.mark.requirement("4.1")
@pytest.mark.contract("E16", "E18", "I3")
@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("token", [None, "garbage"])
@pytest.mark.users
def test_an_upload_without_a_valid_token_gets_401(api: Api, token: str | None) -> None:
    answer = upload(api.with_token(token), png())
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].split()[0] == "Bearer"


@pytest.mark.requirement("4.1", "4.5")
@pytest.mark.craft
@pytest.mark.parametrize("sideways", [False, True])
@pytest.mark.parametrize("height", [896, 897, 900, 903, 904])
def test_a_jpeg_is_accepted_whatever_its_size_is(api: Api, height: int, sideways: bool) -> None:
    """A decoder that makes the picture smaller may not read the last rows of some sizes."""
    picture = Image.effect_noise((320, height), 60)
    orientation = exif(orientation=SIDEWAYS if sideways else 1)
    stored = new_image(api, saved(picture, "JPEG", exif=orientation), JPEG)
    assert {stored["width"], stored["height"]} == {320, height}
