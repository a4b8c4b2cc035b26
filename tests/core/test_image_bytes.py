"""What an image's bytes show: format, size, and whether it is whole."""

from __future__ import annotations

import contextlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hunyuan_async._core.image_bytes import ImageFacts, read_image
from hunyuan_async.errors import DownloadFailed


def drawn(format_name: str, **options: object) -> bytes:
    """Return an image of 67 by 45 pixels that does not compress to nothing."""
    image = Image.effect_noise((67, 45), 60).convert("RGB")
    if options.pop("transparent", False):
        image.putalpha(128)
    target = io.BytesIO()
    image.save(target, format_name, **options)
    return target.getvalue()


def padded(jpeg: bytes) -> bytes:
    """Return *jpeg* with fill bytes before its first segment, which the standard allows."""
    return jpeg[:2] + b"\xff\xff" + jpeg[2:]


IMAGES = {
    "png": (drawn("PNG"), "png"),
    "jpeg": (drawn("JPEG"), "jpg"),
    "padded jpeg": (padded(drawn("JPEG")), "jpg"),
    "progressive jpeg with a profile": (drawn("JPEG", progressive=True, icc_profile=b"\xff\xd9" * 40_000), "jpg"),
    "lossy webp": (drawn("WEBP"), "webp"),
    "lossless webp": (drawn("WEBP", lossless=True), "webp"),
    "extended webp": (drawn("WEBP", transparent=True), "webp"),
    "gif": (drawn("GIF"), "gif"),
}


@pytest.mark.parametrize(("data", "extension"), IMAGES.values(), ids=IMAGES)
def test_format_and_size_are_read_from_the_bytes(data: bytes, extension: str) -> None:
    """No name and no content type has a say."""
    assert read_image(data) == ImageFacts(extension, 67, 45)


@pytest.mark.parametrize(("data", "extension"), IMAGES.values(), ids=IMAGES)
def test_odd_bytes_after_the_end_are_let_pass(data: bytes, extension: str) -> None:
    """Refusing a paid image would be worse."""
    assert read_image(data + b"\0\0").extension == extension


@pytest.mark.parametrize(("data", "extension"), IMAGES.values(), ids=IMAGES)
@pytest.mark.parametrize("part", [0.2, 0.5, 0.9, 0.99])
def test_a_part_of_an_image_is_none(data: bytes, extension: str, part: float) -> None:
    """A connection may end early without a word."""
    with pytest.raises(DownloadFailed, match="cut off") as caught:
        read_image(data[: int(len(data) * part)])
    assert (caught.value.kind, caught.value.retry, caught.value.charged) == ("download", "same", "yes")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "got an empty answer, not an image"),
        (b" \r\n<!DOCTYPE html><html>", "got an HTML page, not an image"),
        (b"\xef\xbb\xbf<HTML><body>", "got an HTML page, not an image"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied', "got an XML document, not an image"),
        (b'{"error": "expired"}', "got a JSON document, not an image"),
        (b"\x00" * 1234, "got 1,234 bytes of an unknown format, not an image"),
        (b"RIFF\x00\x00\x00\x00WAVE", "got 12 bytes of an unknown format, not an image"),
    ],
)
def test_what_came_instead_is_said(data: bytes, words: str) -> None:
    """A login page behind a 200 is the commonest of them."""
    with pytest.raises(DownloadFailed) as caught:
        read_image(data)
    assert words in caught.value.message


@given(
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\x10\0\0\0WEBPVP8X", b"GIF89a"]),
    st.binary(max_size=80),
)
def test_no_bytes_raise_anything_but_our_own_error(start: bytes, rest: bytes) -> None:
    """Whatever a host sends is an image or a failed download."""
    with contextlib.suppress(DownloadFailed):
        read_image(start + rest)
