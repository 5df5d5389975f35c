"""Row 4.1, and a promise: a picture that anybody may see does not tell where it was taken."""

import struct

import pytest
from PIL import ExifTags, PngImagePlugin

from tests.harness.driver import Api
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
    with_chunk,
)
from tests.stage04.uploads import new_image

TAKEN_AT_HOME = exif(orientation=SIDEWAYS, location=True)
EXIF_IDENTIFIER = b"Exif\0\0"


def xmp_in_png() -> PngImagePlugin.PngInfo:
    """Return the text that programs like Photoshop write into a PNG."""
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", XMP_WITH_LOCATION.decode())
    return text


def exif_as_text() -> PngImagePlugin.PngInfo:
    """Return EXIF data the way ImageMagick writes it into a PNG: as hexadecimal text."""
    data = TAKEN_AT_HOME.tobytes()
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", f"\nexif\n{len(data):8}\n{data.hex()}\n", zip=True)
    return text


AT_HOME: dict[str, tuple[bytes, str]] = {
    "JPEG": (jpeg(exif=TAKEN_AT_HOME), JPEG),
    # Where the list of what GPS says begins: after the TIFF header and two fields of 12 bytes.
    "JPEG with EXIF data that cannot be written again": (
        jpeg(exif=exif_of((0x14A, 11, struct.pack(">f", 1.5)), (0x8825, 4, bytes([0, 0, 0, 38])))),
        JPEG,
    ),
    "progressive JPEG": (jpeg(exif=TAKEN_AT_HOME, progressive=True), JPEG),
    "grey JPEG": (saved(image(mode="L"), "JPEG", exif=TAKEN_AT_HOME), JPEG),
    "CMYK JPEG": (saved(image(mode="CMYK"), "JPEG", exif=TAKEN_AT_HOME), JPEG),
    "JPEG with XMP": (jpeg(xmp=XMP_WITH_LOCATION), JPEG),
    "JPEG with both": (jpeg(exif=TAKEN_AT_HOME, xmp=XMP_WITH_LOCATION), JPEG),
    "PNG": (png(exif=TAKEN_AT_HOME), PNG),
    "PNG with a palette": (saved(image(mode="P"), "PNG", exif=TAKEN_AT_HOME), PNG),
    "PNG with alpha": (saved(image(mode="RGBA"), "PNG", exif=TAKEN_AT_HOME), PNG),
    "PNG with it at the end": (
        with_chunk(png(), chunk(b"eXIf", TAKEN_AT_HOME.tobytes().removeprefix(EXIF_IDENTIFIER))),
        PNG,
    ),
    "PNG with XMP": (png(pnginfo=xmp_in_png()), PNG),
    "PNG with it as text": (png(pnginfo=exif_as_text()), PNG),
}


@pytest.mark.parametrize("name", AT_HOME)
def test_the_place_is_taken_out_and_the_picture_stays_the_same(api: Api, name: str) -> None:
    content, content_type = AT_HOME[name]
    before = opened(content)
    assert location_in(content)  # it was there
    stored = new_image(api, content, content_type)
    served = api.request("GET", stored["url"]).content
    assert not location_in(served)
    after = opened(served)
    assert (after.format, after.mode, after.size) == (before.format, before.mode, before.size)
    assert stored["size"] == len(served)
    turned = before.getexif().get(ExifTags.Base.Orientation)
    assert after.getexif().get(ExifTags.Base.Orientation) == turned
    shown = (HEIGHT, WIDTH) if turned == SIDEWAYS else (WIDTH, HEIGHT)
    assert (stored["width"], stored["height"]) == shown
    if content_type == PNG:
        assert after.tobytes() == before.tobytes()
    else:
        differences = zip(after.tobytes(), before.tobytes(), strict=True)
        assert max(abs(new - old) for new, old in differences) < 16  # not to be seen
