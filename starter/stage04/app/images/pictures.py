"""What is inside a file that says it is a picture. Every use of Pillow is in this file.

Neither its name nor its declared type is believed: the bytes decide.
"""

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import ExifTags, Image

from app.images.containers import (
    JPEG_START,
    PNG_SIGNATURE,
)

SIGNATURES = {"image/jpeg": JPEG_START + b"\xff", "image/png": PNG_SIGNATURE}
EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png"}
MAX_PIXELS = 50_000_000
MAX_BYTES_PER_PIXEL = 9  # 4 channels of 16 bits, and a little for each line
# How a picture is shown, in the words of EXIF: turned by 90° in the second half.
UPRIGHT, ORIENTATIONS, SIDEWAYS = 1, range(1, 9), range(5, 9)

# Pillow warns of a picture that is small as a file and huge in memory; we refuse it.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

# Looking at a picture takes a processor core and some megabytes: one at a time. And always on the
# same thread: C's memory allocator keeps freed megabytes for each thread that ever had them.
_inspector = ThreadPoolExecutor(1, thread_name_prefix="pictures")


@dataclass(frozen=True)
class Picture:
    """What the bytes of a picture say; `width` and `height` are as it is shown, in pixels."""

    content_type: str
    width: int
    height: int


async def inspect_picture(path: Path, declared_type: str | None) -> Picture:
    """Return what the file is, after removing from it the place where it was taken.

    Raises 415 when it is not a JPEG or PNG or was declared to be something else, and 422 when it is
    broken, absurdly large or followed by something that is not a picture; `Unavailable` when the
    file cannot be read or written.
    """
    # TODO 4.5: The MIME type is checked against the bytes
    raise NotImplementedError("TODO 4.5: The MIME type is checked against the bytes")


def _inspect(path: Path, declared_type: str | None) -> Picture:
    # TODO 4.5: The MIME type is checked against the bytes
    raise NotImplementedError("TODO 4.5: The MIME type is checked against the bytes")


def _sniff(data: bytes) -> str:
    # TODO 4.5: The MIME type is checked against the bytes
    raise NotImplementedError("TODO 4.5: The MIME type is checked against the bytes")


def _look_at(data: bytes, content_type: str) -> tuple[int, int, int, bool]:
    """Return width, height and orientation of a whole picture, and whether it may tell a place."""
    # TODO 4.5: The MIME type is checked against the bytes
    raise NotImplementedError("TODO 4.5: The MIME type is checked against the bytes")


def _check(image: Image.Image, data: bytes, content_type: str) -> tuple[Image.Exif, bool]:
    """Return a whole picture's EXIF data, and whether other data may tell where it was taken."""
    # TODO 4.5: The MIME type is checked against the bytes
    raise NotImplementedError("TODO 4.5: The MIME type is checked against the bytes")


def _without_location(data: bytes, content_type: str, orientation: int) -> bytes:
    """Return the picture made anew: photos taken at home tell where that is.

    Of its EXIF data only the orientation stays. The rest is not needed, is not always in order, and
    some makers of cameras note the place in fields of their own.
    """
    exif = Image.Exif()
    if orientation != UPRIGHT:
        exif[ExifTags.Base.Orientation] = orientation
    kept = BytesIO()
    with Image.open(BytesIO(data), formats=("JPEG", "PNG")) as image:
        image.load()  # Pillow 13 copies what it has to load while it saves
        profile = image.info.get("icc_profile")
        if content_type == "image/png":
            image.save(kept, "PNG", exif=exif, icc_profile=profile)
        else:
            quality = "keep" if image.format == "JPEG" else 95  # not of several pictures in one
            image.save(kept, "JPEG", exif=exif, icc_profile=profile, quality=quality)
    return kept.getvalue()
