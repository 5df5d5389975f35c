"""The structure of JPEG and PNG files, to keep only the parts that show the picture.

Cameras and programs write much more into a file: the place, names, comments, previews, further
pictures. Nobody knows all of these parts, so the lists here name the harmless parts, and all others
are removed. The harmless parts stay as they are.
Sources: ITU-T T.81, annex B; PNG specification (third edition), 5 to 11; EXIF 3.0, 4.6.
"""

import re
import struct
import zlib
from collections.abc import Iterator

MAX_PIXELS, MAX_SIDE = 50_000_000, 65_535
MAX_PARTS = 20_000  # segments or chunks: each costs some microseconds

JPEG_START = b"\xff\xd8"
BASELINE, EXTENDED, PROGRESSIVE, SCAN, END = 0xC0, 0xC1, 0xC2, 0xDA, 0xD9
FRAMES = (BASELINE, EXTENDED, PROGRESSIVE)  # the kinds that browsers show
KEPT = (*FRAMES, SCAN, END, 0xC4, 0xDB, 0xDD)  # the last three are tables for the decoder
OPTIONAL = (*range(0xE0, 0xF0), 0xFE)  # data of programs, and comments
# These stay, as they describe the colours: JFIF and Adobe (of a fixed length), the colour profile.
HARMLESS = re.compile(rb"\xff(\xe0\0\x10JFIF\0|\xee\0\x0eAdobe|\xe2..ICC_PROFILE\0)", re.DOTALL)
EXIF = re.compile(rb"\xff\xe1..Exif\0\0", re.DOTALL)
MARKER = re.compile(rb"\xff+([^\xff])")
# Inside a scan, 0xFF is data if 0 follows, and a restart marker if one of these eight follows.
MARKER_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
# For a JPEG of several scans, a decoder keeps all coefficients, of 2 bytes each, until the last
# scan. Each scan goes through all of them again, so a small file can cost much memory and time.
MAX_COEFFICIENTS = 40_000_000
MAX_SCANNED = 10 * MAX_COEFFICIENTS

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
ANY, FEW, COLOURS = range(2**32), range(1, 257), range(3, 769, 3)
# The harmless chunks, each with its length in bytes. The last three are for animations.
# fmt: off
HARMLESS_CHUNKS = {
    b"IHDR": (13,), b"PLTE": COLOURS, b"IDAT": ANY, b"IEND": (0,), b"tRNS": FEW, b"bKGD": (1, 2, 6),
    b"cHRM": (32,), b"gAMA": (4,), b"sBIT": (1, 2, 3, 4), b"sRGB": (1,), b"iCCP": ANY,
    b"cICP": (4,), b"mDCV": (24,), b"cLLI": (8,), b"pHYs": (9,),
    b"acTL": (8,), b"fcTL": (26,), b"fdAT": ANY,
}
# fmt: on
ANCILLARY = 0x20  # a bit of a chunk's first letter: a decoder may skip the chunk
# The valid pairs of depth and colour type; then compression, filter and interlacing.
PNG_FORM = re.compile(
    rb"([\x01\x02\x04\x08\x10]\0|[\x01\x02\x04\x08]\x03|[\x08\x10][\x02\x04\x06])\0\0[\0\x01]"
)
PALETTE, CHANNELS = 3, {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by type of colour
# Interlaced pixels come in seven passes. For each: its first column and row, and its two steps.
ONE_PASS = ((0, 0, 1, 1),)
SEVEN_PASSES = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
MAX_FILTER = 4  # each row begins with the number of its filter
MAX_UNPACKED = 8 * MAX_PIXELS  # bytes: four channels of 16 bits
UNPACK_SIZE = 1024 * 1024  # bytes that are unpacked at a time, then discarded

ORIENTATION, SHORT = 0x112, 3  # in EXIF data: how the picture is turned before it is shown
UPRIGHT, ORIENTATIONS, SIDEWAYS = 1, range(1, 9), range(5, 9)  # the last ones turn it by 90°

UNKNOWN_PART = "The picture is broken: it has a part of an unknown kind"
MOVES_ODDLY = "The picture is broken: the frames of its animation are invalid"
NOT_AT_THE_END = "The file has more data after the picture"
TOO_MANY_PARTS = f"The picture has more than {MAX_PARTS} parts"


class BrokenPicture(Exception):
    """The file is invalid, or too expensive to decode. The client sees the text."""


# The parts to keep; width and height as they are stored; EXIF's orientation, 0 for none.
_Parts = tuple[list[bytes], int, int, int]


def clean(data: bytes) -> tuple[bytes, int, int]:
    """Return the file with harmless parts only, and the width and height that viewers show.

    Raises `BrokenPicture`. This checks all pixels of a PNG; those of a JPEG need a decoder.
    """
    try:
        of_kind = _clean_jpeg if data.startswith(JPEG_START) else _clean_png
        kept, width, height, orientation = of_kind(data)
    except (struct.error, zlib.error):
        raise BrokenPicture("The picture is broken: a part of it is missing") from None
    return b"".join(kept), *((height, width) if orientation in SIDEWAYS else (width, height))


def require(condition: object, message: str) -> None:
    """Raise `BrokenPicture` unless the condition is true."""
    if not condition:
        raise BrokenPicture(message)


def _clean_jpeg(data: bytes) -> _Parts:
    """Return the first picture of a JPEG file. Some cameras write several into one file."""
    kept, orientation, frame, scans = [JPEG_START], 0, b"", 0
    for marker, segment in _segments(data):
        scans += marker == SCAN
        if marker in FRAMES:
            frame = segment
        if marker in KEPT or HARMLESS.match(segment):
            kept.append(segment)
        elif EXIF.match(segment) and not orientation:
            orientation, exif = _only_orientation(segment[10:])
            if exif:
                kept.append(b"\xff\xe1" + struct.pack(">H", len(exif) + 8) + b"Exif\0\0" + exif)
        else:
            require(marker in OPTIONAL, UNKNOWN_PART)
    precision, height, width = struct.unpack_from(">BHH", frame, 4)
    _require_size(width, height)
    samples = [divmod(factors, 16) for factors in frame[11::3]]  # of a component: across, down
    most = max((x for x, _ in samples), default=0) * max((y for _, y in samples), default=0)
    is_shown = precision == 8 and len(samples) in (1, 3, 4) and most > 0
    require(is_shown, "The picture is of a kind that browsers do not show")
    coefficients = width * height * sum(x * y for x, y in samples) // most
    is_held = scans > 1 or frame[1] == PROGRESSIVE
    too_much = coefficients * scans > MAX_SCANNED or (is_held and coefficients > MAX_COEFFICIENTS)
    require(not too_much, "Too costly to decode: save it as a JPEG that is not progressive")
    return kept, width, height, orientation


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield each segment and its marker. The segment of a scan includes the scan's data."""
    start = len(JPEG_START)
    for _ in range(MAX_PARTS):
        found = MARKER.match(data, start)
        if found is None:
            raise BrokenPicture("The picture is broken: a segment begins at a wrong place")
        marker, end = found[1][0], found.end()
        if marker != END:
            end += struct.unpack_from(">H", data, end)[0]
        if marker == SCAN:
            after = MARKER_AFTER_SCAN.search(data, end)
            end = after.start() if after else len(data)
        yield marker, data[found.end() - 2 : end]
        if marker == END:
            return require(end == len(data) or data.startswith(JPEG_START, end), NOT_AT_THE_END)
        start = end
    raise BrokenPicture(TOO_MANY_PARTS)


def _clean_png(data: bytes) -> _Parts:
    """Return a PNG file after it has unpacked each picture: an animation has several."""
    kept, orientation, before, form, has_palette, moves = [PNG_SIGNATURE], 0, b"", b"", False, 0
    frames: list[tuple[int, int, list[bytes]]] = []  # width, height, and the packed pixels
    for kind, content, chunk in _chunks(data):
        if kind == b"IHDR":
            form = content[8:]
            frames.append((*struct.unpack_from(">II", content), []))
        elif kind == b"PLTE":
            has_palette = not frames[0][2]
        elif kind == b"IDAT":
            require(
                before == kind or not frames[0][2],
                "The picture is broken: its pixel chunks are not together",
            )
            frames[0][2].append(content)
        elif kind in (b"fcTL", b"fdAT"):
            require(content[:4] == struct.pack(">I", moves), MOVES_ODDLY)
            moves += 1
            if kind == b"fcTL":
                across, down, x, y = struct.unpack_from(">IIII", content, 4)
                is_inside = x + across <= frames[0][0] and y + down <= frames[0][1]
                require(is_inside and across * down, MOVES_ODDLY)
                frames += [(across, down, [])] if frames[0][2] else []
            else:
                frames[-1][2].append(content[4:])
        if len(content) in HARMLESS_CHUNKS.get(kind, ()):
            kept.append(chunk)
        elif kind == b"eXIf" and not orientation:
            orientation, exif = _only_orientation(content)
            kept.append(_chunk(kind, exif) if exif else b"")
        else:
            require(kind[0] & ANCILLARY, UNKNOWN_PART)
        before = kind
    width, height, _ = frames[0]
    _require_size(width, height)
    is_known = PNG_FORM.fullmatch(form) and (form[1] != PALETTE or has_palette)
    require(is_known, "The picture is broken: its header or palette is invalid")
    bits = form[0] * CHANNELS[form[1]]
    rows = [list(_rows(across, down, bits, form[4])) for across, down, _ in frames]
    unpacked = sum(count * size for each in rows for count, size in each)
    require(unpacked <= MAX_UNPACKED, "The picture has too many pixels")
    for (_, _, pixels), expected in zip(frames, rows, strict=True):
        _unpack(b"".join(pixels), expected)
    return kept, width, height, orientation


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield each chunk: its kind, its content, and the whole chunk."""
    start = len(PNG_SIGNATURE)
    for _ in range(MAX_PARTS):
        length, kind = struct.unpack_from(">I4s", data, start)
        content = data[start + 8 : start + 8 + length]
        chunk = _chunk(kind, content)
        require(data.startswith(chunk, start), "The picture is broken: a checksum does not match")
        in_place = (kind == b"IHDR") == (start == len(PNG_SIGNATURE))
        require(in_place, "The picture is broken: its header is at a wrong place")
        yield kind, content, chunk
        start += len(chunk)
        if kind == b"IEND":
            return require(start == len(data), NOT_AT_THE_END)
    raise BrokenPicture(TOO_MANY_PARTS)


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def _rows(width: int, height: int, bits: int, is_interlaced: int) -> Iterator[tuple[int, int]]:
    """Yield the number of rows of each pass and their size in bytes; a pixel has `bits` bits."""
    for column, row, across, down in SEVEN_PASSES if is_interlaced else ONE_PASS:
        if column < width and row < height:
            pixels = (width - column + across - 1) // across
            yield (height - row + down - 1) // down, 1 + (pixels * bits + 7) // 8


def _unpack(packed: bytes, rows: list[tuple[int, int]]) -> None:
    """Unpack pixels, piece by piece, and require exactly these rows."""
    unpacker = zlib.decompressobj()
    for count, size in rows:
        done, whole = 0, count * size
        while done < whole:
            piece = unpacker.decompress(packed, min(whole - done, UNPACK_SIZE))
            packed = unpacker.unconsumed_tail
            require(piece, "The picture is broken: some of its pixels are missing")
            filters = piece[-done % size :: size]
            require(
                max(filters, default=0) <= MAX_FILTER,
                "The picture is broken: a row has an unknown filter",
            )
            done += len(piece)
    is_end = not unpacker.decompress(packed, 1) and unpacker.eof and not unpacker.unused_data
    require(is_end, "The picture is broken: it has too many or too few pixels")


def _only_orientation(exif: bytes) -> tuple[int, bytes]:
    """Return the orientation in EXIF data, and EXIF data with only that: empty if there is none."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2], "<")
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for at in range(start + 2, start + 2 + 12 * count, 12):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", exif, at)
            if tag == ORIENTATION and value in ORIENTATIONS:
                field = struct.pack(f"{order}HHIHH", tag, SHORT, 1, value, 0)
                return value, exif[:2] + struct.pack(f"{order}HIH", 42, 8, 1) + field + bytes(4)
    except struct.error:
        pass  # the data end too early
    return UPRIGHT, b""


def _require_size(width: int, height: int) -> None:
    require(width * height > 0, "The picture has no pixels")
    require(width * height <= MAX_PIXELS, f"The picture has more than {MAX_PIXELS} pixels")
    require(max(width, height) <= MAX_SIDE, f"A side of the picture is over {MAX_SIDE} pixels")
