"""File names: harmless, and one for each item."""

from __future__ import annotations

import itertools
import re
import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hunyuan_async._core.lifecycle import Item
from hunyuan_async._core.names import slug
from hunyuan_async.cli.names import parse_name
from hunyuan_async.errors import InvalidRequest
from hunyuan_async.models import ImageRequest

BY_ID = parse_name("{id}")
SAFE = re.compile(r"images/\d{4,}/(?!-)[a-z0-9_-]{1,60}")
HOSTILE = [
    "../../etc/passwd", "/etc/passwd", "C:\\x", "..", ".", "", " ", "-rf", ".hidden", "a/b", "a\\b", "a\0b", "a\nb",
    "con", "CON", "nul.png", "lpt1", "SKU42", "Sku42", "é", "e\u0301", "\uff53ku42", "锦鲤", "锦", "\u202egnp.exe",
    "a" * 60, "a" * 61, "a" * 200, "a" * 60 + "b", "a.b", "a b", "a-b", "a--b", "~", "%2e%2e", "$HOME", "`id`",
]  # fmt: skip


def item(
    item_id: str, index: int = 0, prompt: str = "A koi", seed: int | None = 7, variation: int = 1, attempt: int = 1
) -> Item:
    """An item to be named."""
    detail = {"index": index, "variation": variation}
    return Item(item_id, ImageRequest(prompt, seed=seed), 25, attempt=attempt, detail=detail)


@pytest.mark.parametrize(
    ("template", "named", "path"),
    [
        ("{id}", item("sku42"), "images/0000/sku42"),
        ("{id}", item("sku_42-2", index=1999), "images/0001/sku_42-2"),
        ("{id}", item("a", index=12_345_678), "images/12345/a"),
        ("{index}-{slug}", item("x", index=41, prompt="Koi pond, Café!"), "images/0000/000041-koi-pond-cafe"),
        ("shoe-{id}-{seed}", item("a"), "images/0000/shoe-a-7"),
        ("{id}_{variation}", item("a-2", variation=2), "images/0000/a-2_2"),
        ("{slug}{index}", item("a", index=7), "images/0000/a-koi000007"),
        ("{index}-{seed}", item("a", seed=None), "images/0000/000000-random"),
        ("{index}-{seed}", item("a", seed=-1), "images/0000/000000-random"),
    ],
)
def test_plain_names_are_kept(template: str, named: Item, path: str) -> None:
    """What is clean and tells items apart is written as it is, a thousand in a folder."""
    assert parse_name(template).path(named) == path


@pytest.mark.parametrize("item_id", HOSTILE)
def test_hostile_ids_are_harmless(item_id: str) -> None:
    """No id leaves its folder, hides, is too long, or means something to a shell or to Windows."""
    path = BY_ID.path(item(item_id)) if item_id.strip() else "images/0000/unnamed"
    assert SAFE.fullmatch(path)
    assert not re.search(r"/(con|nul|lpt1)\Z", path)


DEVICES = ["con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))]


def hostile_ids() -> list[str]:
    """More than two thousand ids: words in every case, composed and not, as devices, and on their way elsewhere."""
    words = [
        *DEVICES,
        *filter(str.strip, HOSTILE),
        "stra\u00dfe",
        "\u0130stanbul",
        "\u03a3\u03c3\u03c2",
        "\ufb01le",
        "\u212b",
        "\u00c5ngstr\u00f6m",
        "e\u0301\u0323",
        "\uac00",
    ]
    words += [
        f"{word}{ending}"
        for word in words
        for ending in (".", " ", ".png", ":x", "\0", "?x", "/..", "\\", "*", "?", "-1", "\u0301")
    ]
    cased = [change(word) for word in words for change in (str, str.upper, str.title, str.swapcase)]
    forms = [unicodedata.normalize(form, word) for word in cased for form in ("NFC", "NFD", "NFKC", "NFKD")]
    return [*dict.fromkeys(map(str.strip, forms))]  # an id in a table has no spaces around it


def test_two_thousand_hostile_ids_have_as_many_harmless_names() -> None:
    """Also where case is folded, accents are composed, and some names are devices whatever their extension."""
    ids = hostile_ids()
    paths = [BY_ID.path(item(item_id)) for item_id in ids if item_id.strip()]
    names = {unicodedata.normalize("NFKC", path).casefold().rpartition("/")[2] for path in paths}
    assert len(names) == len(paths) > 2000
    assert all(map(SAFE.fullmatch, paths))
    assert names.isdisjoint(DEVICES)


def test_names_are_different_for_ids_that_look_alike() -> None:
    """Also on file systems that fold case or compose accents, and for names that imitate ours."""
    known = [item_id for item_id in HOSTILE if item_id.strip()] + ["sku42", "sku42-1234567890"]
    known += [BY_ID.path(item(item_id)).rpartition("/")[2] for item_id in known]
    paths = {item_id: BY_ID.path(item(item_id)) for item_id in known}
    assert len({path.casefold() for path in paths.values()}) == len(paths)


@pytest.mark.parametrize("template", ["{slug}", "{slug}-{seed}", "{id}{seed}", "{slug}-{id}", "{id}-{slug}", "x"])
def test_names_that_two_items_could_share_get_a_hash_of_the_id(template: str) -> None:
    """Equal prompts and seeds never overwrite each other."""
    paths = [parse_name(template).path(item(item_id)) for item_id in ("a", "b")]
    assert len({*paths}) == 2
    assert all(re.fullmatch(r".*-[0-9a-f]{10}", path) for path in paths)


@pytest.mark.parametrize("template", ["{id}", "{index}-{slug}", "x"])
def test_a_later_attempt_has_a_name_of_its_own(template: str) -> None:
    """Older images stay; the name says which attempt it is, and no id can imitate it."""
    name, first, second = parse_name(template), item("koi"), item("koi", attempt=2)
    others = [first, item("koi-attempt2"), item("koi", attempt=3), item(name.path(second).rpartition("/")[2])]
    assert re.fullmatch(r"images/0000/.+-attempt2-[0-9a-f]{10}", name.path(second))
    assert name.path(second) not in map(name.path, others)
    assert name.path(item("k" * 200, attempt=2)) != name.path(item("k" * 200))


@pytest.mark.parametrize("template", ["{title}", "{id", "{id!r}", "a/{id}", "../{id}", "{id}.png", "Photo {id}"])
def test_templates_of_names_are_checked(template: str) -> None:
    """An unknown name or a character that no name here has is refused before anything is paid."""
    with pytest.raises(InvalidRequest):
        parse_name(template)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("A koi pond, watercolor!", "a-koi-pond-watercolor"),
        ("Überraschung, ½ Café", "uberraschung-12-cafe"),
        ("锦鲤池塘", "image"),
        ("--../..", "image"),
        ("word " * 30, "word-word-word-word-word-word-word-word"),
    ],
)
def test_slugs_are_short_and_readable(prompt: str, words: str) -> None:
    """A prompt gives the readable part of a file name, whatever its script."""
    assert slug(prompt) == words


IDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=80).filter(str.strip)
PARTS = st.sampled_from(["{id}", "{index}", "{slug}", "{seed}", "{variation}", "-", "_", "a", "1"])


@given(IDS | st.from_regex(r"[a-zA-Z0-9_.-]{1,70}", fullmatch=True), st.lists(PARTS, max_size=5).map("".join))
def test_any_id_gives_a_safe_name(item_id: str, template: str) -> None:
    """Nothing but lower-case ASCII, never too long, always below its folder."""
    assume(item_id.strip())
    assert SAFE.fullmatch(parse_name(template).path(item(item_id, prompt=item_id)))


@given(
    st.lists(IDS | st.text("aA1-_", min_size=1, max_size=4), unique_by=str.strip, min_size=2, max_size=6),
    st.lists(PARTS, max_size=5).map("".join),
    st.data(),
)
def test_no_two_images_share_a_name(ids: list[str], template: str, data: st.DataObject) -> None:
    """Whatever ids, prompts, seeds and template: names differ, in any case of letters."""
    name = parse_name(template)
    texts = st.sampled_from(["a", "a-1", "1", "1-a", "-"])
    items = [
        item(
            item_id,
            index,
            data.draw(texts),
            data.draw(st.sampled_from([None, 1, 11])),
            data.draw(st.integers(1, 2)),
            attempt,
        )
        for index, item_id in enumerate(ids)
        for attempt in (1, 2)
    ]
    paths = [name.path(named).casefold() for named in items]
    assert all(one != other for one, other in itertools.combinations(paths, 2))
