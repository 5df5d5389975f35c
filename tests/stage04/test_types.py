"""Requirement 4.5: the bytes of a file decide its type; other and broken files are refused."""

import struct
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from course.harness.contract import variants
from course.harness.driver import Api
from tests.stage04.pictures import (
    END_OF_JPEG,
    GREY,
    HEIGHT,
    JPEG,
    PNG,
    PNG_SIGNATURE,
    RGB,
    WIDTH,
    WITH_PALETTE,
    chunk,
    image,
    is_zip_archive,
    jpeg,
    jpeg_that_says_it_is,
    packed_zeros,
    png,
    png_bomb,
    png_of,
    progressive_of_zeros,
    saved,
    segment,
    with_chunk,
    with_segment,
    with_wrong_checksum,
    zip_archive,
)
from tests.stage04.uploads import MAX_FILE_SIZE, disposition, form, new_image, part, upload

pytestmark = pytest.mark.usefixtures("nothing_is_left")

PAGE = b"<!DOCTYPE html><script>alert(document.domain)</script>"
DRAWING = (
    b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">'
    b"<script>alert(1)</script></svg>"
)
AT_ONCE = 2.0  # seconds: enough on a busy machine, too short to decode a bomb

# The real type of the file: its bytes, its name, and its declared type.
OTHERS: dict[str, tuple[bytes, str, str]] = {
    "a GIF named .png": (saved(image(), "GIF"), "picture.png", PNG),
    "a GIF": (saved(image(), "GIF"), "picture.gif", "image/gif"),
    "a WebP named .jpg": (saved(image(), "WEBP"), "picture.jpg", JPEG),
    "a BMP named .png": (saved(image(), "BMP"), "picture.png", PNG),
    "a TIFF named .jpg": (saved(image(), "TIFF"), "picture.jpg", JPEG),
    "an icon named .png": (saved(image(16, 16), "ICO"), "picture.png", PNG),
    "a JPEG 2000 named .jpg": (saved(image(), "JPEG2000"), "picture.jpg", JPEG),
    "a PDF named .jpg": (saved(image(), "PDF"), "picture.jpg", JPEG),
    "text": (b"Not a picture at all", "picture.png", PNG),
    "a page": (PAGE, "picture.png", PNG),
    "a drawing": (DRAWING, "picture.svg", "image/svg+xml"),
    "an SVG drawing named .png": (DRAWING, "picture.png", PNG),
    "an archive": (zip_archive(), "picture.png", PNG),
    "a JPEG after a page": (PAGE + jpeg(), "picture.jpg", JPEG),
    "a PNG after a line end": (b"\n" + png(), "picture.png", PNG),
    "a PNG whose line ends were changed": (
        png().replace(b"\r\n", b"\n", 1),
        "picture.png",
        PNG,
    ),
    "zeros": (bytes(1000), "picture.png", PNG),
    "one byte": (b"\x89", "picture.png", PNG),
    "nothing": (b"", "picture.png", PNG),
}


# The beginning of these files may be a picture: broken (422) or of another type (415).
DOUBTFUL = {
    *("a JPEG after a page", "a PNG after a line end", "a PNG whose line ends were changed"),
    *("one byte", "nothing"),
}


@pytest.mark.requirement("4.5")
@pytest.mark.contract("I3", "E5")
@pytest.mark.parametrize("name", variants(OTHERS, craft=DOUBTFUL))
def test_a_file_that_is_neither_jpeg_nor_png_gets_415(api: Api, name: str) -> None:
    content, filename, declared = OTHERS[name]
    answer = upload(api, content, content_type=declared, filename=filename)
    assert answer.status_code == 415
    assert isinstance(answer.json()["detail"], str)


@pytest.mark.requirement("4.5")
@pytest.mark.contract("I3", "E5")
@pytest.mark.parametrize(
    ("content", "declared"),
    [
        (jpeg(), PNG),
        (png(), JPEG),
        (png(), "application/pdf"),
        (jpeg(), "text/html"),
        (png(), "image/svg+xml"),
        (jpeg(), "image/gif"),
        pytest.param(png(), "image/*", marks=pytest.mark.craft),
        pytest.param(png(), "nonsense", marks=pytest.mark.craft),
    ],
    ids=lambda value: value if isinstance(value, str) else "PNG" if value == png() else "JPEG",
)
def test_a_picture_declared_as_another_type_gets_415(
    api: Api, content: bytes, declared: str
) -> None:
    answer = upload(api, content, content_type=declared)
    assert answer.status_code == 415
    assert isinstance(answer.json()["detail"], str)


@pytest.mark.requirement("4.5")
@pytest.mark.contract("I1", "I3", "I6")
def test_the_file_name_does_not_decide_the_type(api: Api) -> None:
    stored = upload(api, jpeg(), content_type=JPEG, filename="really.png").json()
    assert (stored["filename"], stored["content_type"]) == ("really.png", JPEG)
    assert api.request("GET", stored["url"]).headers["content-type"] == JPEG
    assert api.request("DELETE", f"/images/{stored['id']}").status_code == 204


def half(data: bytes) -> bytes:
    """Return the first half of a JPEG, and then its end."""
    return data[: (len(data) + data.rindex(b"\xff\xda")) // 2] + END_OF_JPEG


def without_data(data: bytes) -> bytes:
    """Return a JPEG whose scan ends after its header, which is 14 bytes long."""
    return data[: data.rindex(b"\xff\xda") + 14] + END_OF_JPEG


def header_of(data: bytes) -> bytes:
    """Return the segment of a JPEG that contains its size and its colours."""
    start = data.index(b"\xff\xc0")
    return data[start : start + 19]


def changed(data: bytes, after: bytes, new: bytes) -> bytes:
    """Return data in which `new` replaces the bytes after the first occurrence of `after`."""
    start = data.index(after) + len(after)
    return data[:start] + new + data[start + len(new) :]


def moving(number: int, rows: bytes) -> bytes:
    """Return a PNG with two grey pictures; the second one has these rows and this number."""
    control = struct.pack(">IIIIIHHBB", number, WIDTH, HEIGHT, 0, 0, 1, 9, 0, 0)
    pixels = struct.pack(">I", number + 1) + zlib.compress(rows)
    second = chunk(b"fcTL", control) + chunk(b"fdAT", pixels)
    return with_chunk(png_of(8, GREY, chunk(b"acTL", struct.pack(">II", 2, 0))), second)


LONG_JPEG, LONG_PNG = jpeg(300, 200), png(300, 200)
BROKEN: dict[str, tuple[bytes, str]] = {
    "half a JPEG": (LONG_JPEG[: len(LONG_JPEG) // 2], JPEG),
    "the first bytes of a JPEG": (LONG_JPEG[:20], JPEG),
    "a JPEG without its end": (LONG_JPEG[:-2], JPEG),
    "a JPEG without its last byte": (LONG_JPEG[:-1], JPEG),
    "a JPEG without pixels": (LONG_JPEG[: LONG_JPEG.index(b"\xff\xda")] + END_OF_JPEG, JPEG),
    "a JPEG without its tables": (LONG_JPEG.replace(b"\xff\xdb", b"\xff\xfe"), JPEG),
    "half a PNG": (LONG_PNG[: len(LONG_PNG) // 2], PNG),
    "the first bytes of a PNG": (LONG_PNG[:20], PNG),
    "a PNG without its end": (LONG_PNG[:-12], PNG),
    "a PNG without its last byte": (LONG_PNG[:-1], PNG),
    "half a PNG with an end": (LONG_PNG[: len(LONG_PNG) // 2] + LONG_PNG[-12:], PNG),
    "a PNG without pixels": (LONG_PNG[:33] + LONG_PNG[-12:], PNG),
    "a JPEG's first bytes and garbage": (b"\xff\xd8\xff\xe0" + b"garbage" * 50, JPEG),
    "a JPEG's first bytes and a script": (b"\xff\xd8\xff" + PAGE, JPEG),
    "a PNG's first bytes and garbage": (PNG_SIGNATURE + b"garbage" * 50, PNG),
    "a PNG's first bytes and a script": (PNG_SIGNATURE + PAGE, PNG),
    "a PNG with a wrong checksum of its header": (with_wrong_checksum(LONG_PNG, b"IHDR"), PNG),
    "a PNG with a wrong checksum of its pixels": (with_wrong_checksum(LONG_PNG, b"IDAT"), PNG),
    "a PNG with a wrong checksum of its end": (with_wrong_checksum(LONG_PNG, b"IEND"), PNG),
    "a PNG with more data after its pixels": (with_chunk(LONG_PNG, chunk(b"IDAT", b"more")), PNG),
    # Pillow decodes these without an error. Faults in the last rows are the hardest to detect.
    "half a JPEG with an end": (LONG_JPEG[: len(LONG_JPEG) // 2] + END_OF_JPEG, JPEG),
    "a JPEG of which some bytes are missing": (LONG_JPEG[:-20] + END_OF_JPEG, JPEG),
    "half a grey JPEG with an end": (half(saved(image(mode="L"), "JPEG")), JPEG),
    "half a CMYK JPEG with an end": (half(saved(image(mode="CMYK"), "JPEG")), JPEG),
    "half a progressive JPEG with an end": (half(jpeg(300, 200, progressive=True)), JPEG),
    "a JPEG without data in its scan": (without_data(LONG_JPEG), JPEG),
    "a small JPEG without data in its scan": (without_data(jpeg(8, 8)), JPEG),
    "a tiny JPEG without data in its scan": (without_data(jpeg(1, 1)), JPEG),
    "a JPEG with two headers": (with_segment(LONG_JPEG, header_of(LONG_JPEG)), JPEG),
    "a JPEG with a header of 12 bits": (changed(LONG_JPEG, b"\xff\xc0\0\x11", b"\x0c"), JPEG),
    "a JPEG without components": (changed(LONG_JPEG, b"\xff\xc0", b"\0\x08\x08" + bytes(5)), JPEG),
    "a JPEG of a kind that no browser shows": (LONG_JPEG.replace(b"\xff\xc0", b"\xff\xc9"), JPEG),
    "a PNG without rows": (png_of(8, RGB, packed_rows=lambda _: zlib.compress(b"")), PNG),
    "a PNG of one row": (png_of(8, RGB, packed_rows=lambda rows: zlib.compress(rows[:121])), PNG),
    "a PNG without the last byte of its pixels": (
        png_of(8, RGB, packed_rows=lambda rows: zlib.compress(rows[:-1])),
        PNG,
    ),
    "an interlaced PNG without its last pass": (
        png_of(8, RGB, interlaced=True, packed_rows=lambda rows: zlib.compress(rows[:-1815])),
        PNG,
    ),
    "a PNG with a row too many": (
        png_of(8, RGB, packed_rows=lambda rows: zlib.compress(rows + bytes(121))),
        PNG,
    ),
    "a PNG with an unknown filter": (
        png_of(8, RGB, packed_rows=lambda rows: zlib.compress(b"\x09" + rows[1:])),
        PNG,
    ),
    "a PNG with an unknown filter in its last row": (
        png_of(8, RGB, packed_rows=lambda rows: zlib.compress(rows[:-121] + b"\5" + bytes(120))),
        PNG,
    ),
    "a PNG whose pixels have a wrong checksum": (
        png_of(8, RGB, packed_rows=lambda rows: zlib.compress(rows)[:-1] + b"?"),
        PNG,
    ),
    "a PNG whose pixels have no checksum": (
        png_of(8, RGB, packed_rows=lambda rows: zlib.compress(rows)[:-4]),
        PNG,
    ),
    "a PNG that needs a palette": (png_of(8, WITH_PALETTE), PNG),
    "a PNG with an empty palette": (png_of(8, WITH_PALETTE, chunk(b"PLTE", b"")), PNG),
    "a PNG with half a colour": (png_of(8, WITH_PALETTE, chunk(b"PLTE", bytes(4))), PNG),
    "a PNG with its palette behind its pixels": (
        with_chunk(png_of(8, WITH_PALETTE), chunk(b"PLTE", bytes(768))),
        PNG,
    ),
    "a PNG of 3 bits": (png_of(3, GREY), PNG),
    "a PNG of 4 bits and three colours": (png_of(4, RGB), PNG),
    "a PNG without a width": (png_of(8, RGB, size=(0, 30)), PNG),
    "a PNG with two headers": (with_chunk(LONG_PNG, LONG_PNG[8:33]), PNG),
    "a PNG with its pixels in two places": (
        with_chunk(png_of(8, GREY), chunk(b"gAMA", bytes(4)) + chunk(b"IDAT", b"")),
        PNG,
    ),
    "a PNG with an unknown part that must not be skipped": (
        with_chunk(LONG_PNG, chunk(b"TUNA", b"")),
        PNG,
    ),
    "an animated PNG whose pictures have wrong numbers": (moving(7, bytes(41 * 30)), PNG),
    "an animated PNG with an incomplete second picture": (moving(0, bytes(41 * 29)), PNG),
    "an animated PNG with an unknown filter in its second picture": (
        moving(0, b"\5" * 41 * 30),
        PNG,
    ),
}


@pytest.mark.requirement("4.5")
@pytest.mark.contract("I3")
@pytest.mark.parametrize("name", ["half a JPEG", "half a PNG"])
def test_an_incomplete_picture_gets_422(api: Api, name: str) -> None:
    content, declared = BROKEN[name]
    answer = upload(api, content, content_type=declared)
    assert answer.status_code == 422
    assert answer.json()["detail"]


@pytest.mark.requirement("4.5")
@pytest.mark.contract("I3")
@pytest.mark.parametrize(
    "name",
    [
        *("the first bytes of a JPEG", "the first bytes of a PNG"),
        *("a JPEG's first bytes and garbage", "a PNG's first bytes and garbage"),
        *("a JPEG's first bytes and a script", "a PNG's first bytes and a script"),
    ],
)
def test_a_picture_cut_after_its_first_bytes_gets_415_or_422(api: Api, name: str) -> None:
    """The server may call it broken (422) or unsupported (415)."""
    content, declared = BROKEN[name]
    assert upload(api, content, content_type=declared).status_code in (415, 422)


@pytest.mark.requirement("4.5")
@pytest.mark.craft("I8")
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_picture_gets_422(api: Api, name: str) -> None:
    content, declared = BROKEN[name]
    answer = upload(api, content, content_type=declared)
    assert answer.status_code == 422
    assert answer.json()["detail"]


# Functions, because making all these pictures takes seconds.
BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "a PNG of 20 000 x 20 000": (lambda: png_bomb(20_000), PNG),
    "a JPEG that says it has 20 000 x 20 000": (lambda: jpeg_that_says_it_is(20_000, 20_000), JPEG),
    "a JPEG that says it has 65 000 x 65 000": (lambda: jpeg_that_says_it_is(65_000, 65_000), JPEG),
    "a PNG 40 million pixels high": (lambda: png_of(1, GREY, size=(1, 40_000_000)), PNG),
    "a PNG 40 million pixels wide": (lambda: png_of(1, GREY, size=(40_000_000, 1)), PNG),
    # Memory: a decoder keeps a whole progressive picture, here four times 49 million numbers.
    "a progressive JPEG in CMYK": (lambda: progressive_of_zeros(7000, 7000, 1, components=4), JPEG),
    "a progressive JPEG": (lambda: progressive_of_zeros(7000, 7000, 5), JPEG),
    # Time: each scan covers the whole picture.
    "a JPEG of 800 scans": (lambda: progressive_of_zeros(6000, 6000, 800), JPEG),
    "a JPEG of 30 scans": (lambda: progressive_of_zeros(6000, 6000, 30), JPEG),
    "a JPEG of a million parts": (
        lambda: with_segment(jpeg(), segment(0xFE, b"") * 1_000_000),
        JPEG,
    ),
    "a PNG of 400 000 parts": (lambda: with_chunk(png(), chunk(b"tuNa", b"") * 400_000), PNG),
    "a PNG whose pixels unpack to gigabytes": (
        lambda: png_of(8, GREY, packed_rows=lambda _: packed_zeros(2**30)),
        PNG,
    ),
}


@pytest.mark.requirement("4.5", "4.6")
@pytest.mark.own_stage("app/images/")
@pytest.mark.contract("I3")
@pytest.mark.parametrize(
    "name",
    [
        "a PNG of 20 000 x 20 000",
        "a JPEG that says it has 20 000 x 20 000",
        "a JPEG that says it has 65 000 x 65 000",
    ],
)
def test_a_picture_of_400_megapixels_or_more_gets_422(api: Api, name: str) -> None:
    make, declared = BOMBS[name]
    assert upload(api, make(), content_type=declared).status_code == 422


@pytest.mark.requirement("4.5", "4.6")
@pytest.mark.own_stage("app/images/")
@pytest.mark.craft("I11")
@pytest.mark.parametrize("name", BOMBS)
def test_an_extremely_large_picture_gets_422_quickly(api: Api, name: str) -> None:
    make, declared = BOMBS[name]
    content = make()
    assert len(content) < MAX_FILE_SIZE
    asked = time.monotonic()
    answer = upload(api, content, content_type=declared)
    assert answer.status_code == 422
    assert time.monotonic() - asked < AT_ONCE


@pytest.mark.requirement("4.5")
@pytest.mark.own_stage("app/images/")
@pytest.mark.contract("I3")
def test_a_photo_of_a_camera_is_accepted(api: Api) -> None:
    stored = new_image(api, jpeg(4000, 3000), JPEG)
    assert (stored["width"], stored["height"]) == (4000, 3000)
    assert api.request("DELETE", f"/images/{stored['id']}").status_code == 204


IEND = png()[-12:]
TWO_IN_ONE: dict[str, tuple[bytes, str]] = {
    "a JPEG and an archive": (jpeg() + zip_archive(), JPEG),
    "a PNG and an archive": (png() + zip_archive(), PNG),
    "a JPEG and a page": (jpeg() + PAGE, JPEG),
    "a PNG and a page": (png() + PAGE, PNG),
    # The archive or page ends like a picture, so a check of the last bytes does not detect it.
    "a JPEG and an archive that ends like a JPEG": (jpeg() + zip_archive(END_OF_JPEG), JPEG),
    "a PNG and an archive that ends like a PNG": (png() + zip_archive(IEND), PNG),
    "a JPEG and a page that ends like a JPEG": (jpeg() + PAGE + END_OF_JPEG, JPEG),
    "a PNG and a page that ends like a PNG": (png() + PAGE + IEND, PNG),
    # The decoder has all pixels before this data, and reads no further.
    "a JPEG with an archive at the end of its scan": (
        jpeg()[:-2] + zip_archive(END_OF_JPEG),
        JPEG,
    ),
    "a JPEG with a page at the end of its scan": (jpeg()[:-2] + PAGE + END_OF_JPEG, JPEG),
    "a PNG with an archive at the end of its pixels": (
        png_of(8, RGB, packed_rows=lambda rows: zlib.compress(rows) + zip_archive(bytes(16))),
        PNG,
    ),
}


@pytest.mark.requirement("4.5")
@pytest.mark.craft
@pytest.mark.parametrize("name", TWO_IN_ONE)
def test_a_picture_that_is_also_another_file_gets_422(api: Api, name: str) -> None:
    content, declared = TWO_IN_ONE[name]
    assert is_zip_archive(content) == ("archive" in name)
    assert upload(api, content, content_type=declared).status_code == 422


PICTURE = part(disposition("picture.png"), png(), PNG)
NO_FORMS: dict[str, tuple[bytes, dict[str, str]]] = {
    "nothing": (b"", {}),
    "JSON": (b'{"file": "picture.png"}', {"Content-Type": "application/json"}),
    "the picture itself": (png(), {"Content-Type": PNG}),
    "another kind of form": (
        b"file=picture.png",
        {"Content-Type": "application/x-www-form-urlencoded"},
    ),
    "a form without fields": form(),
    "a form without the field": form(part(disposition("a.png", "picture"), png(), PNG)),
    "text in the field": form(part(b'form-data; name="file"', b"picture.png", None)),
    "text with a content type in the field": form(part(b'form-data; name="file"', png(), PNG)),
    "two pictures": form(PICTURE, PICTURE),
    "a form without a boundary": (form(PICTURE)[0], {"Content-Type": "multipart/form-data"}),
    "another boundary": (
        form(PICTURE)[0],
        {"Content-Type": "multipart/form-data; boundary=another"},
    ),
    "a form cut short": (form(PICTURE)[0][:-100], form(PICTURE)[1]),
    "a part without a header": form(b"\r\n" + png()),
    "a part with a line of 20 kB": form(part(disposition("x" * 20_000), png(), PNG)),
    "a thousand fields": form(*[part(b'form-data; name="x"', b"", None)] * 1001, PICTURE),
}


WITHOUT_A_FILE = {
    *("a form without fields", "a form without the field", "text in the field"),
}


@pytest.mark.requirement("4.5")
@pytest.mark.contract("E4", "I3")
@pytest.mark.parametrize("name", variants(NO_FORMS, craft=NO_FORMS.keys() - WITHOUT_A_FILE))
def test_a_form_without_exactly_one_file_gets_422(api: Api, name: str) -> None:
    content, headers = NO_FORMS[name]
    answer: Any = api.request("POST", "/images", content=content, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["detail"]


@pytest.mark.requirement("4.5")
@pytest.mark.contract("I3")
def test_a_form_without_a_chosen_file_is_refused(api: Api) -> None:
    """A browser sends this for an empty `<input type=file>`."""
    answer = upload(api, b"", content_type="application/octet-stream", filename="")
    assert answer.status_code in (415, 422)
