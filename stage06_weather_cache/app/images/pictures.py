"""What is inside a file that says it is a picture. Every use of Pillow is in this file.

Neither its name nor its declared type is believed: the bytes decide.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path

from anyio import CapacityLimiter, to_thread
from fastapi import HTTPException
from PIL import ExifTags, Image, UnidentifiedImageError

CONTENT_TYPES = {"JPEG": "image/jpeg", "MPO": "image/jpeg", "PNG": "image/png"}
EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png"}
LAST_BYTES = {"image/jpeg": b"\xff\xd9", "image/png": b"IEND\xaeB`\x82"}
MAX_PIXELS = 50_000_000
SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations of a picture that is shown turned by 90°

# Pillow warns of a picture that is small as a file and huge in memory; we refuse it.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

# A decoded picture takes up to 4 bytes a pixel: one at a time bounds the memory.
_decoder = CapacityLimiter(1)


@dataclass(frozen=True)
class Picture:
    """What the bytes of a picture say; `width` and `height` are as it is shown, in pixels."""

    content_type: str
    width: int
    height: int


async def inspect_picture(path: Path, declared_type: str | None) -> Picture:
    """Return what the file is, after removing from it the place where it was taken.

    Raises 415 when it is not a JPEG or PNG or was declared to be something else, and 422 when it is
    broken, absurdly large or followed by something that is not a picture.
    """
    return await to_thread.run_sync(_inspect, path, declared_type, limiter=_decoder)


def _inspect(path: Path, declared_type: str | None) -> Picture:
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as image:
            return _inspect_image(image, path, declared_type)
    except UnidentifiedImageError:
        raise HTTPException(415, "Only JPEG and PNG pictures can be uploaded") from None
    except HTTPException:
        raise
    except Image.DecompressionBombError:
        raise HTTPException(422, _too_large()) from None
    except Exception:
        raise HTTPException(422, "The picture is broken") from None


def _inspect_image(image: Image.Image, path: Path, declared_type: str | None) -> Picture:
    content_type = CONTENT_TYPES[image.format or ""]
    if declared_type and declared_type.partition(";")[0].strip().lower() != content_type:
        raise HTTPException(415, f"The picture is {content_type}, but was declared otherwise")
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise HTTPException(422, _too_large())
    if not path.read_bytes().rstrip(b"\0").endswith(LAST_BYTES[content_type]):
        # Truncated, or two things in one: a picture to us, an archive or a page to somebody else.
        raise HTTPException(422, "The file does not end where the picture does")
    exif = image.getexif()
    if exif.get(ExifTags.Base.Orientation) in SIDEWAYS:
        width, height = height, width
    image.load()  # decodes all of it, so a broken one is found now and not by who looks at it
    if exif.get_ifd(ExifTags.IFD.GPSInfo) or "GPS" in str(image.info.get("xmp")):
        _save_without_location(image, exif, path)
    return Picture(content_type, width, height)


def _save_without_location(image: Image.Image, exif: Image.Exif, path: Path) -> None:
    """Write the picture anew without the place: photos taken at home tell where that is."""
    exif.pop(ExifTags.IFD.GPSInfo, None)
    profile = image.info.get("icc_profile")
    if CONTENT_TYPES[image.format or ""] == "image/png":
        image.save(path, "PNG", exif=exif, icc_profile=profile)
    elif image.format == "JPEG":
        image.save(path, "JPEG", exif=exif, icc_profile=profile, quality="keep")
    else:
        image.save(path, "JPEG", exif=exif, icc_profile=profile, quality=95)


def _too_large() -> str:
    return f"The picture has more than {MAX_PIXELS} pixels"
