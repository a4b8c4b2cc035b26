"""What is shown of text from outside."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hunyuan_async._core.text import printable, shown


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("a koi pond", "a koi pond"),
        ("\u9ca4\u9c7c \U0001f468\u200d\U0001f3a8", "\u9ca4\u9c7c \U0001f468\u200d\U0001f3a8"),
        ("one\r\ntwo\tthree", "one two three"),
        ("\x1b[2J", "\\u001b[2J"),
        ("\x00\x7f\x9b", "\\u0000\\u007f\\u009b"),
        ("a\u202eb\u2066c\u200f\u061c", "a\\u202eb\\u2066c\\u200f\\u061c"),
        ("a\u2028b\u2029c\x85d", "a\\u2028b\\u2029c\\u0085d"),
        ("half \ud83d", "half \\ud83d"),
    ],
)
def test_what_could_forge_or_hide_output_is_escaped(text: str, safe: str) -> None:
    """Controls, direction marks and broken characters become visible; the rest stays."""
    assert printable(text) == safe


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("abcdef", "abcdef"),
        ("abcdefg", "abc..."),
        ("a" * 50, "aaa..."),
        ("\x00b", "\\u0..."),
        ("a" + "\n" * 50, "a ..."),
    ],
)
def test_long_text_is_cut_and_says_so(text: str, cut: str) -> None:
    """No result is longer than the limit, not even by its escapes."""
    assert printable(text, limit=6) == cut


@given(st.text(st.characters(exclude_categories=()), max_size=1200), st.integers(3, 600))
def test_any_text_becomes_one_safe_line(text: str, limit: int) -> None:
    """The result fits, can be encoded, is one line, and stays as it is when sanitised again."""
    safe = printable(text, limit)

    assert len(safe) <= limit
    assert safe.encode().decode() == safe
    assert len(safe.splitlines()) <= 1
    assert printable(safe, limit) == safe


def test_wrong_values_are_named_briefly() -> None:
    """Text is quoted and cut; a number that is too long to print is named by its type."""
    assert shown("x\ny") == r"'x\ny'"
    assert shown("a" * 999) == "'" + "a" * 76 + "..."
    assert shown(10**5000) == "a value of type int"
