"""What an upload command is, what it answers, and how long an address of ours is worth trying."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hunyuan_async._core.uploading import command_words, is_worth_trying, printed_address
from hunyuan_async.errors import InvalidRequest

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
KOI = "/p/my 'koi'; rm -rf ~ {file}.png"
BUCKET = "https://bucket.example/a.png"


def at(minutes: float) -> int:
    """So many minutes from now, in seconds since 1970."""
    return int((NOW + timedelta(minutes=minutes)).timestamp())


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("./up {file}", ["./up", KOI]),
        (
            "curl -sF 'file=@{file};type=image/png' up.example",
            ["curl", "-sF", f"file=@{KOI};type=image/png", "up.example"],
        ),
        ("copy {file} 'to:a b/{file}'", ["copy", KOI, f"to:a b/{KOI}"]),
    ],
)
def test_a_path_stays_within_its_word(command: str, words: list[str]) -> None:
    """The command is split first, so that no name of a file can add an argument."""
    assert command_words(command, KOI) == words


@pytest.mark.parametrize("command", ["", "up", "up 'a {file}", "{file}", "up {FILE}"])
def test_a_command_without_a_place_for_the_file_is_refused(command: str) -> None:
    """Also one whose quotes do not end, and one that would run the image."""
    with pytest.raises(InvalidRequest, match="upload command"):
        command_words(command, "/p/koi.png")


@pytest.mark.parametrize(
    ("output", "address"),
    [
        (b"https://u.example/a.png\n", "https://u.example/a.png"),
        (b"uploading...\r\nhttp://u.example/a.png  \r\n\n \n", "http://u.example/a.png"),
        (b"https://u.example/a.png\ndone\n", None),
        (b"https://u.example/a b.png", None),
        (b"ftp://u.example/a.png", None),
        (b"file:///etc/passwd", None),
        (b"\xff\xfe", None),
        (b" \n", None),
        (b"", None),
    ],
)
def test_the_last_line_that_is_not_empty_is_the_address(output: bytes, address: str | None) -> None:
    """Whatever a program says before that; anything but a web address is none."""
    assert printed_address(output) == address


@pytest.mark.parametrize(
    ("query", "age", "worth"),
    [
        ("", 10, True),
        ("", 54, True),
        ("", 56, False),
        ("", None, False),
        (f"?Expires={at(6)}&Signature=x", None, True),
        (f"?Expires={at(6)}&Signature=x", 600, True),
        (f"?Expires={at(4)}&Signature=x", 10, False),
        (f"?expires={at(6)}", None, True),
        ("?Expires=", 10, True),
        ("?Expires=soon", 10, True),
        ("?Expires=soon", 56, False),
        ("?Expires=3600", 10, True),
        ("?expires=86400.5", 10, True),
        (f"?Expires={'9' * 30}", 10, True),
        ("?X-Amz-Date=20261122T110000Z&X-Amz-Expires=3960", None, True),
        ("?X-Amz-Date=20261122T110000Z&X-Amz-Expires=3840", 10, False),
        ("?X-Goog-Date=20261122T110000Z&X-Goog-Expires=3960", None, True),
        ("?X-Tos-Date=20261122T110000Z&X-Tos-Expires=3600", 10, False),
        ("?X-Amz-Date=20261122T110000Z", 10, True),
        ("?X-Amz-Date=yesterday&X-Amz-Expires=3960", 10, True),
        (f"?q-sign-time={at(-60)};{at(6)}", None, True),
        (f"?q-sign-time={at(-60)}%3B{at(4)}", 10, False),
        (f"?Expires={at(60)}&q-sign-time={at(-60)};{at(4)}", None, False),
    ],
)
def test_an_address_is_tried_while_its_signature_says_so_or_it_is_young(
    query: str, age: float | None, worth: bool
) -> None:
    """With five minutes to spare; a signature that cannot be read says nothing."""
    handed_out_at = None if age is None else NOW - timedelta(minutes=age)

    assert is_worth_trying(BUCKET + query, handed_out_at, NOW) is worth


def test_times_at_the_end_of_time_are_no_trouble() -> None:
    """A journal may be the work of somebody else."""
    assert is_worth_trying(BUCKET, datetime.max.replace(tzinfo=UTC), NOW)
    assert not is_worth_trying(BUCKET, datetime.min.replace(tzinfo=UTC), NOW)
