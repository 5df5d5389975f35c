"""Requirement 4.1: a served picture does not contain the location where it was taken."""

import struct
import zlib

import pytest
from PIL import ExifTags, PngImagePlugin

from course.harness.driver import Api
from tests.stage04.pictures import (
    HEIGHT,
    JPEG,
    PNG,
    SIDEWAYS,
    WIDTH,
    XMP_WITH_LOCATION,
    chunk,
    exif,
    exif_of,
    image,
    jpeg,
    location_in,
    opened,
    png,
    saved,
    segment,
    with_chunk,
    with_segment,
)
from tests.stage04.uploads import new_image

pytestmark = pytest.mark.craft

TAKEN_AT_HOME = exif(orientation=SIDEWAYS, location=True)
EXIF_IDENTIFIER = b"Exif\0\0"
XMP_IDENTIFIER = b"http://ns.adobe.com/xap/1.0/\0"
EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
IN_UTF_16 = XMP_WITH_LOCATION.decode().encode("utf-16-le")


def between_scans(extra: bytes) -> bytes:
    """Return a JPEG with `extra` bytes before the last of its scans."""
    data = jpeg(progressive=True)
    start = data.rindex(b"\xff\xda")
    return data[:start] + extra + data[start:]


def xmp_in_png() -> PngImagePlugin.PngInfo:
    """Return the text chunk that programs such as Photoshop write into a PNG."""
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", XMP_WITH_LOCATION.decode())
    return text


def exif_as_text() -> PngImagePlugin.PngInfo:
    """Return EXIF data as ImageMagick writes them into a PNG: as hexadecimal text."""
    data = TAKEN_AT_HOME.tobytes()
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", f"\nexif\n{len(data):8}\n{data.hex()}\n", zip=True)
    return text


AT_HOME: dict[str, tuple[bytes, str]] = {
    "JPEG": (jpeg(exif=TAKEN_AT_HOME), JPEG),
    # The GPS fields begin here: after the TIFF header and two fields of 12 bytes.
    "JPEG with EXIF data that cannot be written again": (
        jpeg(exif=exif_of((0x14A, 11, struct.pack(">f", 1.5)), (0x8825, 4, bytes([0, 0, 0, 38])))),
        JPEG,
    ),
    "progressive JPEG": (jpeg(exif=TAKEN_AT_HOME, progressive=True), JPEG),
    "grey JPEG": (saved(image(mode="L"), "JPEG", exif=TAKEN_AT_HOME), JPEG),
    "CMYK JPEG": (saved(image(mode="CMYK"), "JPEG", exif=TAKEN_AT_HOME), JPEG),
    "JPEG with XMP": (jpeg(xmp=XMP_WITH_LOCATION), JPEG),
    "JPEG with EXIF and XMP": (jpeg(exif=TAKEN_AT_HOME, xmp=XMP_WITH_LOCATION), JPEG),
    "PNG": (png(exif=TAKEN_AT_HOME), PNG),
    "PNG with a palette": (saved(image(mode="P"), "PNG", exif=TAKEN_AT_HOME), PNG),
    "PNG with alpha": (saved(image(mode="RGBA"), "PNG", exif=TAKEN_AT_HOME), PNG),
    "PNG with the location at the end": (
        with_chunk(png(), chunk(b"eXIf", TAKEN_AT_HOME.tobytes().removeprefix(EXIF_IDENTIFIER))),
        PNG,
    ),
    "PNG with XMP": (png(pnginfo=xmp_in_png()), PNG),
    "PNG with the location as text": (png(pnginfo=exif_as_text()), PNG),
    # Unusual places: a blocklist would miss them, so a server must keep only known data.
    "JPEG with the location in its second picture": (jpeg() + jpeg(exif=TAKEN_AT_HOME), JPEG),
    "JPEG with a second segment of EXIF data": (
        with_segment(
            jpeg(), segment(0xE1, exif().tobytes()), segment(0xE1, TAKEN_AT_HOME.tobytes())
        ),
        JPEG,
    ),
    "JPEG with the location in UTF-16": (
        with_segment(jpeg(), segment(0xE1, XMP_IDENTIFIER + IN_UTF_16)),
        JPEG,
    ),
    "JPEG with extended XMP": (
        with_segment(jpeg(), segment(0xE1, EXTENDED_XMP + bytes(40) + XMP_WITH_LOCATION)),
        JPEG,
    ),
    "JPEG with the location in hexadecimal": (
        with_segment(jpeg(), segment(0xED, XMP_WITH_LOCATION.hex().encode())),
        JPEG,
    ),
    **{
        f"JPEG with the location in segment {marker:X}": (
            with_segment(jpeg(), segment(marker, XMP_WITH_LOCATION)),
            JPEG,
        )
        for marker in (*range(0xE0, 0xF0), 0xFE)
    },
    "JPEG with the location after the JFIF data": (
        with_segment(jpeg(), segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0" + XMP_WITH_LOCATION)),
        JPEG,
    ),
    "JPEG with the location between its scans": (
        between_scans(segment(0xFE, XMP_WITH_LOCATION)),
        JPEG,
    ),
    **{
        f"PNG with the location in {kind.decode()}": (with_chunk(png(), chunk(kind, content)), PNG)
        for kind, content in {
            b"tEXt": b"Comment\0" + XMP_WITH_LOCATION,
            b"zTXt": b"Comment\0\0" + zlib.compress(XMP_WITH_LOCATION),
            b"iTXt": b"Comment\0\1\0\0\0" + zlib.compress(XMP_WITH_LOCATION),
            b"tuNa": IN_UTF_16,
            b"eXIf": exif().tobytes().removeprefix(EXIF_IDENTIFIER) + XMP_WITH_LOCATION,
            b"gAMA": bytes(4) + XMP_WITH_LOCATION,
        }.items()
    },
}


@pytest.mark.requirement("4.1")
@pytest.mark.craft("I9")
@pytest.mark.parametrize("name", AT_HOME)
def test_the_server_removes_the_location_and_keeps_the_picture(api: Api, name: str) -> None:
    content, content_type = AT_HOME[name]
    before = opened(content)
    assert location_in(content)  # the upload contains it
    stored = new_image(api, content, content_type)
    served = api.request("GET", stored["url"]).content
    assert not location_in(served)
    after = opened(served)
    assert (after.format, after.mode, after.size) == (before.format, before.mode, before.size)
    assert stored["size"] == len(served)
    # Browsers ignore an orientation that is written as text.
    turned = None if "text" in name else before.getexif().get(ExifTags.Base.Orientation)
    assert after.getexif().get(ExifTags.Base.Orientation) == turned
    shown = (HEIGHT, WIDTH) if turned == SIDEWAYS else (WIDTH, HEIGHT)
    assert (stored["width"], stored["height"]) == shown
    if content_type == PNG:
        assert after.tobytes() == before.tobytes()
    else:
        differences = zip(after.tobytes(), before.tobytes(), strict=True)
        assert max(abs(new - old) for new, old in differences) < 16  # not visible


@pytest.mark.requirement("4.1")
@pytest.mark.craft("I9")
def test_invalid_exif_data_are_removed(api: Api) -> None:
    """The offset in these data points before their own beginning. The picture is valid."""
    odd = exif_of((ExifTags.IFD.GPSInfo, 9, struct.pack(">i", -1)))
    stored = new_image(api, jpeg(exif=odd), JPEG)
    served = api.request("GET", stored["url"]).content
    assert not opened(served).getexif()
    assert opened(served).tobytes() == opened(jpeg()).tobytes()
