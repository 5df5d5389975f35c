"""Pictures to upload, good and bad, made without asking the app what it thinks of them."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

from PIL import ExifTags, Image

JPEG = "image/jpeg"
PNG = "image/png"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
END_OF_JPEG = b"\xff\xd9"
SIDEWAYS = 6  # EXIF orientation: turned by 90° when it is shown
WIDTH, HEIGHT = 40, 30
LATITUDE, LONGITUDE = (59.0, 57.0, 11.25), (30.0, 18.0, 27.5)
GPS = {1: "N", 2: LATITUDE, 3: "E", 4: LONGITUDE}
XMP_WITH_LOCATION = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description'
    b' xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:GPSLatitude="59,57.1875N"'
    b' exif:GPSLongitude="30,18.4583E"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


def image(width: int = WIDTH, height: int = HEIGHT, mode: str = "RGB") -> Image.Image:
    """Return a picture with a gradient in it, so that turning it would show."""
    gradient = Image.linear_gradient("L").resize((width, height))
    return gradient.convert(mode)


def saved(picture: Image.Image, form: str, **options: Any) -> bytes:
    """Return the bytes of a picture in this format."""
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def jpeg(width: int = WIDTH, height: int = HEIGHT, **options: Any) -> bytes:
    """Return a JPEG."""
    return saved(image(width, height), "JPEG", **options)


def png(width: int = WIDTH, height: int = HEIGHT, **options: Any) -> bytes:
    """Return a PNG."""
    return saved(image(width, height), "PNG", **options)


def exif(*, orientation: int | None = None, location: bool = False) -> Image.Exif:
    """Return EXIF data with what is asked for, and the name of a camera."""
    data = Image.Exif()
    data[ExifTags.Base.Make] = "A camera"
    if orientation is not None:
        data[ExifTags.Base.Orientation] = orientation
    if location:
        data[ExifTags.IFD.GPSInfo] = GPS
    return data


def exif_of(*fields: tuple[int, int, bytes]) -> bytes:
    """Return EXIF data with these fields, of one value each: tag, type (TIFF 6.0) and 4 bytes.

    Behind them is a list of what GPS says: north.
    """
    entries = [struct.pack(">HHI4s", tag, kind, 1, value) for tag, kind, value in fields]
    north = struct.pack(">HHHI4s", 1, 1, 2, 2, b"N\0\0\0")
    ends = bytes(4)
    count = struct.pack(">H", len(fields))
    return b"Exif\0\0MM\0*\0\0\0\x08" + count + b"".join(entries) + ends + north + ends


def opened(data: bytes) -> Image.Image:
    """Return a picture as a program that shows it has it: all of it decoded."""
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def location_in(data: bytes) -> object:
    """Return whatever a picture says about where it was taken; nothing true if nothing."""
    picture = opened(data)
    coordinates = dict(picture.getexif().get_ifd(ExifTags.IFD.GPSInfo))
    traces = [trace for trace in (b"GPSLatitude", b"59,57.1875N") if trace in data]
    return coordinates or traces


# --- PNG, chunk by chunk


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG file, with its checksum."""
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the whole bytes of each chunk of a PNG file."""
    position = len(PNG_SIGNATURE)
    while position < len(data):
        (length,) = struct.unpack(">I", data[position : position + 4])
        end = position + 12 + length
        yield data[position + 4 : position + 8], data[position:end]
        position = end


def with_chunk(data: bytes, extra: bytes, *, before: bytes = b"IEND") -> bytes:
    """Return a PNG with one more chunk in it."""
    parts = [(extra if kind == before else b"") + whole for kind, whole in chunks(data)]
    return PNG_SIGNATURE + b"".join(parts)


def with_wrong_checksum(data: bytes, kind: bytes) -> bytes:
    """Return a PNG in which a chunk of this kind has a checksum that does not fit."""
    parts = [
        whole[:-1] + bytes([whole[-1] ^ 1]) if found == kind else whole
        for found, whole in chunks(data)
    ]
    return PNG_SIGNATURE + b"".join(parts)


def png_of_size(size: int) -> bytes:
    """Return a valid PNG of exactly so many bytes, padded with a chunk that viewers skip."""
    base = png()
    padding = size - len(base) - len(chunk(b"tuNa", b""))
    return with_chunk(base, chunk(b"tuNa", b"\x55" * padding))


def jpeg_of_size(base: bytes, size: int) -> bytes:
    """Return a valid JPEG of exactly so many bytes: `base` padded with comments after its start."""
    comments, missing = [], size - len(base)
    while missing:
        length = min(missing, 65_537)  # a marker of 2 bytes and up to 65 535 after it
        if 0 < missing - length < 4:
            length -= 4
        comments.append(b"\xff\xfe" + struct.pack(">H", length - 2) + b"\x55" * (length - 4))
        missing -= length
    return base[:2] + b"".join(comments) + base[2:]


def png_bomb(side: int) -> bytes:
    """Return a small, valid file that is a black square of `side` × `side` pixels."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    compressor, row = zlib.compressobj(9), bytes(1 + (side + 7) // 8)
    rows = b"".join(compressor.compress(row * 100) for _ in range(side // 100))
    pixels = rows + compressor.flush()
    return PNG_SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def jpeg_that_says_it_is(width: int, height: int) -> bytes:
    """Return a small JPEG whose header promises another size."""
    data = jpeg()
    start = data.index(b"\xff\xc0") + 5
    return data[:start] + struct.pack(">HH", height, width) + data[start + 4 :]


# --- Two files in one


def zip_archive(comment: bytes = b"") -> bytes:
    """Return a ZIP archive with one file in it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("hello.txt", "Hello from inside the picture")
        archive.comment = comment
    return file.getvalue()


def is_zip_archive(data: bytes) -> bool:
    """Return whether a program for archives would open this."""
    return zipfile.is_zipfile(io.BytesIO(data))
