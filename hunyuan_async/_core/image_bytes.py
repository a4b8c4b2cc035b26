"""Is this a whole image, of which format, and how large? Read from its bytes, without decoding a pixel."""

from __future__ import annotations

import attrs

from hunyuan_async.errors import DownloadFailed

_PNG_END = b"IEND\xaeB`\x82"
_JPEG_END = b"\xff\xd9"
# Segment types that begin a frame; 0xC4, 0xC8 and 0xCC, which lie between them, do not.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SCAN = 0xDA
_JPEG_FILL = 0xFF
_MOST_JPEG_SEGMENTS = 10_000  # with bytes of filling; a hostile image might hold millions, which take seconds


EXTENSIONS = ("png", "jpg", "webp", "gif")


@attrs.frozen
class ImageFacts:
    """What an image's bytes show.

    Attributes:
        extension: The usual one for the format, without a dot.
        width: In pixels; None if it could not be read.
        height: In pixels, likewise.
    """

    extension: str
    width: int | None = None
    height: int | None = None


def read_image(data: bytes) -> ImageFacts:
    """Return the format and size of the image in *data*.

    What stands after an image's end is let pass: refusing a paid image is worse than a few odd bytes.

    Raises:
        DownloadFailed: It is no image, or only a part of one.
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        facts, whole = _png(data)
    elif data.startswith(b"\xff\xd8\xff"):
        facts, whole = _jpeg(data)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        facts, whole = _webp(data)
    elif data.startswith((b"GIF87a", b"GIF89a")):
        facts, whole = _gif(data)
    else:
        raise _failure(f"got {_what_else(data)}, not an image")
    if not whole:
        raise _failure("the image is cut off")
    return facts


def _failure(words: str) -> DownloadFailed:
    return DownloadFailed(f"The download failed: {words}.", retry="same")


def _what_else(data: bytes) -> str:
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start:
        return "an empty answer"
    if start.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if start.startswith(b"<"):
        return "an XML document"
    if start.startswith((b"{", b"[")):
        return "a JSON document"
    return f"{len(data):,} bytes of an unknown format"


def _png(data: bytes) -> tuple[ImageFacts, bool]:
    facts = ImageFacts("png", int.from_bytes(data[16:20]), int.from_bytes(data[20:24]))
    return facts, data.rfind(_PNG_END) >= 24


def _jpeg(data: bytes) -> tuple[ImageFacts, bool]:
    facts = ImageFacts("jpg")
    position = 2
    for _ in range(_MOST_JPEG_SEGMENTS):
        if position + 9 > len(data) or data[position] != 0xFF:
            break
        kind = data[position + 1]
        if kind == _JPEG_FILL:
            position += 1
            continue
        if kind in _JPEG_FRAMES:
            height, width = data[position + 5 : position + 7], data[position + 7 : position + 9]
            facts = ImageFacts("jpg", int.from_bytes(width), int.from_bytes(height))
        if kind == _JPEG_SCAN:
            # Only from here on: a thumbnail in an earlier segment has an end mark of its own.
            return facts, data.rfind(_JPEG_END, position) >= 0
        position += 2 + int.from_bytes(data[position + 2 : position + 4])
    return facts, False


def _webp(data: bytes) -> tuple[ImageFacts, bool]:
    kind, body = data[12:16], data[20:30]
    width: int | None = None
    height: int | None = None
    if kind == b"VP8X":
        width = 1 + int.from_bytes(body[4:7], "little")
        height = 1 + int.from_bytes(body[7:10], "little")
    elif kind == b"VP8 ":
        width = int.from_bytes(body[6:8], "little") & 0x3FFF
        height = int.from_bytes(body[8:10], "little") & 0x3FFF
    elif kind == b"VP8L":
        packed = int.from_bytes(body[1:5], "little")
        width, height = 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
    return ImageFacts("webp", width, height), 30 <= 8 + int.from_bytes(data[4:8], "little") <= len(data)


def _gif(data: bytes) -> tuple[ImageFacts, bool]:
    facts = ImageFacts("gif", int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little"))
    return facts, len(data) > 13 and data.rstrip(b"\0").endswith(b";")
