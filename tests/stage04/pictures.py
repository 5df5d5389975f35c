"""Valid and invalid pictures to upload, made without any code of the app."""

from __future__ import annotations

import contextlib
import io
import itertools
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from PIL import ExifTags, Image, ImageCms

JPEG = "image/jpeg"
PNG = "image/png"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
END_OF_JPEG = b"\xff\xd9"
SIDEWAYS = 6  # EXIF orientation: a viewer rotates the picture by 90°
LONGEST_SEGMENT = 65_537  # bytes: a marker of 2, and up to 65 535 after it
PROFILE_PART = struct.Struct(">HH12sBB")
WIDTH, HEIGHT = 40, 30
LATITUDE, LONGITUDE = (59.0, 57.0, 11.25), (30.0, 18.0, 27.5)
GREY, RGB, WITH_PALETTE, RGBA = 0, 2, 3, 6  # PNG's types of colour
CHANNELS = {GREY: 1, RGB: 3, WITH_PALETTE: 1, RGBA: 4}
# The passes of an interlaced PNG: first column and row, and the steps to the next.
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
PASSES += [(0, 1, 1, 2)]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GPS = {1: "N", 2: LATITUDE, 3: "E", 4: LONGITUDE}
# A latitude in minutes and seconds as EXIF data store it, in both byte orders.
LATITUDE_IN_EXIF = [struct.pack(f"{order}4I", 57, 1, 45, 4) for order in "<>"]
XMP_WITH_LOCATION = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description'
    b' xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:GPSLatitude="59,57.1875N"'
    b' exif:GPSLongitude="30,18.4583E"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


def image(width: int = WIDTH, height: int = HEIGHT, mode: str = "RGB") -> Image.Image:
    """Return a picture with a gradient, so that a rotation would be visible."""
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
    """Return EXIF data with these fields. With a location, it also contains the camera's name."""
    data = Image.Exif()
    if orientation is not None:
        data[ExifTags.Base.Orientation] = orientation
    if location:
        data[ExifTags.Base.Make] = "A camera"
        data[ExifTags.IFD.GPSInfo] = GPS
    return data


def exif_of(*fields: tuple[int, int, bytes]) -> bytes:
    """Return EXIF data with these fields, one value each: tag, type (TIFF 6.0) and 4 bytes.

    The GPS fields follow them: the latitude is north.
    """
    entries = [struct.pack(">HHI4s", tag, kind, 1, value) for tag, kind, value in fields]
    north = struct.pack(">HHHI4s", 1, 1, 2, 2, b"N\0\0\0")
    ends = bytes(4)
    count = struct.pack(">H", len(fields))
    return b"Exif\0\0MM\0*\0\0\0\x08" + count + b"".join(entries) + ends + north + ends


def opened(data: bytes) -> Image.Image:
    """Return a picture that is completely decoded, as a viewer would show it."""
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def location_in(data: bytes) -> object:
    """Return the location data of a picture; a false value if there is none."""
    picture = opened(data)
    coordinates = dict(picture.getexif().get_ifd(ExifTags.IFD.GPSInfo))
    unpacked = data
    if data.startswith(PNG_SIGNATURE):
        for kind, whole in chunks(data):
            for start in range(8, len(whole)) if kind in (b"zTXt", b"iTXt", b"tuNa") else ():
                with contextlib.suppress(zlib.error):
                    unpacked += zlib.decompress(whole[start:-4])
    traces = [
        trace
        for trace in (b"GPSLatitude", b"59,57.1875N", *LATITUDE_IN_EXIF)
        for encoded in (trace, trace.decode("latin-1").encode("utf-16-le"), trace.hex().encode())
        if encoded in unpacked
    ]
    return coordinates or traces


# --- PNG, chunk by chunk


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG file, with its checksum."""
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and all bytes of each chunk of a PNG file."""
    position = len(PNG_SIGNATURE)
    while position < len(data):
        (length,) = struct.unpack(">I", data[position : position + 4])
        end = position + 12 + length
        yield data[position + 4 : position + 8], data[position:end]
        position = end


def with_chunk(data: bytes, extra: bytes, *, before: bytes = b"IEND") -> bytes:
    """Return a PNG with one more chunk."""
    parts = [(extra if kind == before else b"") + whole for kind, whole in chunks(data)]
    return PNG_SIGNATURE + b"".join(parts)


def with_wrong_checksum(data: bytes, kind: bytes) -> bytes:
    """Return a PNG in which a chunk of this kind has a wrong checksum."""
    parts = [
        whole[:-1] + bytes([whole[-1] ^ 1]) if found == kind else whole
        for found, whole in chunks(data)
    ]
    return PNG_SIGNATURE + b"".join(parts)


def png_of_size(size: int) -> bytes:
    """Return a valid PNG of exactly `size` bytes: empty blocks fill its compressed pixels."""
    base = png()
    packed = next(whole[8:-4] for kind, whole in chunks(base) if kind == b"IDAT")
    missing = size - len(base)
    pieces = next(pieces for pieces in range(5) if (missing - 12 * pieces) % 5 == 0)  # of 12 bytes
    blocks = b"\0\0\0\xff\xff" * ((missing - 12 * pieces) // 5)  # RFC 1951, 3.2.4
    padded = chunk(b"IDAT", packed[:2] + blocks + packed[2:]) + chunk(b"IDAT", b"") * pieces
    parts = [padded if kind == b"IDAT" else whole for kind, whole in chunks(base)]
    return PNG_SIGNATURE + b"".join(parts)


def jpeg_of_size(base: bytes, size: int) -> bytes:
    """Return a valid JPEG of exactly `size` bytes: `base` with a huge colour profile."""
    missing = size - len(base)
    profile = bytes(missing)[: missing - PROFILE_PART.size * -(-missing // LONGEST_SEGMENT)]
    length = LONGEST_SEGMENT - PROFILE_PART.size
    parts = [profile[start : start + length] for start in range(0, len(profile), length)]
    segments = [
        PROFILE_PART.pack(0xFFE2, len(part) + 16, b"ICC_PROFILE\0", number, len(parts)) + part
        for number, part in enumerate(parts, 1)
    ]
    return base[:2] + b"".join(segments) + base[2:]


def segment(marker: int, content: bytes) -> bytes:
    """Return a segment of a JPEG file."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def with_segment(data: bytes, *extra: bytes) -> bytes:
    """Return a JPEG with more segments after its start."""
    return data[:2] + b"".join(extra) + data[2:]


def png_of(
    depth: int,
    colour: int,
    *extra: bytes,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    interlaced: bool = False,
    packed_rows: Callable[[bytes], bytes] = zlib.compress,
) -> bytes:
    """Return a black PNG of this depth and colour type, with `extra` chunks before its pixels."""
    width, height = size
    bits, rows = depth * CHANNELS[colour], b""
    for column, row, across, down in PASSES if interlaced else [(0, 0, 1, 1)]:
        columns, lines = -(-(width - column) // across), -(-(height - row) // down)
        if columns > 0 and lines > 0:
            rows += bytes(1 + -(-columns * bits // 8)) * lines
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    parts = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", packed_rows(rows))]
    return PNG_SIGNATURE + b"".join(parts) + chunk(b"IEND", b"")


def packed_zeros(length: int) -> bytes:
    """Return `length` zeros, a multiple of 1 MiB, compressed by zlib: the same block repeated."""
    compressor, mib = zlib.compressobj(9, wbits=-15), 2**20
    block = compressor.compress(bytes(mib)) + compressor.flush(zlib.Z_FULL_FLUSH)
    checksum = struct.pack(">HH", length % 65521, 1)  # RFC 1950, 8.2
    return b"\x78\xda" + block * (length // mib) + compressor.flush() + checksum


def png_bomb(side: int) -> bytes:
    """Return a small, valid file: a black square of `side` × `side` pixels."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    compressor, row = zlib.compressobj(9), bytes(1 + (side + 7) // 8)
    rows = b"".join(compressor.compress(row * 100) for _ in range(side // 100))
    pixels = rows + compressor.flush()
    return PNG_SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def jpeg_that_says_it_is(width: int, height: int) -> bytes:
    """Return a small JPEG whose header declares another size."""
    data = jpeg()
    start = data.index(b"\xff\xc0") + 5
    return data[:start] + struct.pack(">HH", height, width) + data[start + 4 :]


def progressive_of_zeros(width: int, height: int, scans: int, components: int = 1) -> bytes:
    """Return a small, valid JPEG that takes much work: each scan refines zeros.

    Each scan follows correctly after the one before (ITU-T T.81, G), so decoders accept it.
    """
    blocks = -(-width // 8) * -(-height // 8)
    symbols = "0" + f"{32767 - 2**14:014b}"  # one symbol ends 32 767 blocks immediately
    bits = symbols * (blocks // 32767) + "10" * (blocks % 32767)
    refinement = packed(bits)
    specification = b"".join(bytes([number + 1, 0x11, 0]) for number in range(components))
    first = b"".join(bytes([number + 1, 0]) for number in range(components))
    parts = [
        segment(0xDB, b"\0" + b"\1" * 64),
        segment(0xC2, struct.pack(">BHHB", 8, height, width, components) + specification),
        segment(0xC4, b"\0" + bytes([1] + [0] * 15) + b"\0"),
        segment(0xC4, b"\x10" + bytes([1, 1] + [0] * 14) + b"\xe0\0"),
        segment(0xDA, bytes([components]) + first + b"\0\0\0") + packed("0" * blocks * components),
    ]
    bands = ((k, level, c) for k in range(1, 64) for level in range(14) for c in range(components))
    for band, level, component in itertools.islice(bands, scans - 1):
        depth = (0 if level == 0 else 14 - level) << 4 | 13 - level
        head = bytes([1, component + 1, 0, band, band, depth])
        parts.append(segment(0xDA, head) + refinement)
    return b"\xff\xd8" + b"".join(parts) + END_OF_JPEG


def packed(bits: str) -> bytes:
    """Return bits as bytes of a scan: padded with ones, and with a zero after each 0xFF."""
    filled = bits + "1" * (-len(bits) % 8)
    whole = int(filled, 2).to_bytes(len(filled) // 8)
    return whole.replace(b"\xff", b"\xff\0")


# --- Two files in one


def zip_archive(comment: bytes = b"") -> bytes:
    """Return a ZIP archive with one file in it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("hello.txt", "Hello from inside the picture")
        archive.comment = comment
    return file.getvalue()


def is_zip_archive(data: bytes) -> bool:
    """Return whether an archive program would open these bytes."""
    return zipfile.is_zipfile(io.BytesIO(data))
