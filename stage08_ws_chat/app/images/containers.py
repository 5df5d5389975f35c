"""How PNG and JPEG files are built: enough to know where a picture ends, and that it is all there.

Two things in one file are a picture to us, and an archive or a page to somebody else. So nothing
may follow the picture. Sources: PNG specification (third edition), 5; ITU-T T.81, annex B.
"""

import re
import struct
import zlib
from dataclasses import dataclass

UNPACK_SIZE = 1024 * 1024  # bytes that are unpacked at a time, and thrown away

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")
TEXT_PROFILES = (b"XML:com.adobe.xmp", b"Raw profile type")  # EXIF and more, packed as text
JPEG_START = b"\xff\xd8"
END_OF_IMAGE, START_OF_SCAN = 0xD9, 0xDA
# Inside a scan, 0xFF is data when 0 follows, and a restart marker with one of these eight.
MARKER_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


class BrokenPicture(Exception):
    """The file is not built as its format prescribes; the text is for who sent it."""


@dataclass
class Metadata:
    """What a PNG says about itself besides the picture."""

    exif: bytes = b""
    has_text_profile: bool = False


def check_png(data: bytes, max_unpacked: int) -> Metadata:
    """Walk through the chunks: each is whole, the pixels unpack to their end, nothing follows.

    Raises `BrokenPicture`. The pixels are unpacked piece by piece: a decoded picture would take a
    hundred times the memory. More than `max_unpacked` bytes of them are too many.
    """
    metadata = Metadata()
    pixels = zlib.decompressobj()
    position, unpacked, kind = len(PNG_SIGNATURE), 0, b""
    try:
        while kind != b"IEND":
            length, kind = struct.unpack_from(">I4s", data, position)
            start, position = position + 8, position + 12 + length
            content = data[start : start + length]
            (checksum,) = struct.unpack_from(">I", data, start + length)
            if zlib.crc32(kind + content) != checksum:
                raise BrokenPicture("The picture is broken: a checksum does not match")
            if kind == b"eXIf":
                metadata.exif = content
            elif kind in TEXT_CHUNKS and content.startswith(TEXT_PROFILES):
                metadata.has_text_profile = True
            while kind == b"IDAT" and content and unpacked <= max_unpacked:
                unpacked += len(pixels.decompress(content, UNPACK_SIZE))
                content = pixels.unconsumed_tail
            if pixels.unused_data:
                raise BrokenPicture("The picture is broken: something follows its pixels")
    except struct.error:
        raise not_at_the_end() from None
    if not pixels.eof or unpacked > max_unpacked:
        raise BrokenPicture("The picture is broken: not all of it is there")
    if position != len(data):
        raise not_at_the_end()
    return metadata


def check_jpeg(data: bytes) -> None:
    """Walk through the segments to the end; raises `BrokenPicture`.

    Cameras put several pictures into one file, one after the other: nothing else may follow.
    """
    position = 0
    try:
        while position < len(data):
            if data[position : position + 2] != JPEG_START:
                raise not_at_the_end()
            position = _end_of_jpeg(data, position + 2)
    except (IndexError, struct.error):
        raise not_at_the_end() from None


def _end_of_jpeg(data: bytes, position: int) -> int:
    while True:
        if data[position] != 0xFF:
            raise BrokenPicture("The picture is broken: a segment does not begin where it should")
        marker = data[position + 1]
        if marker == END_OF_IMAGE:
            return position + 2
        if marker == 0xFF:  # filling
            position += 1
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        position += 2 + length
        if marker == START_OF_SCAN:
            after = MARKER_AFTER_SCAN.search(data, position)
            if after is None:
                raise not_at_the_end()
            position = after.start()


def not_at_the_end() -> BrokenPicture:
    """Return the error of a file that is cut off or goes on after the picture."""
    return BrokenPicture("The file does not end where the picture does")
