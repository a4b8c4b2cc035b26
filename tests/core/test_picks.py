"""picks.csv: no verdict is lost, and no torn line is one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hunyuan_async.cli.ids import Ids
from hunyuan_async.cli.picks import VERDICTS, Pick, PicksFile, Verdict, read_picks
from hunyuan_async.errors import InvalidRequest

HEAD = "id,verdict,at\n"
AT = "2026-11-22T20:00:00.000Z"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def told(text: str) -> list[tuple[str, str]]:
    """The verdicts in a table."""
    return [(pick.id, pick.verdict) for pick in read_picks(text.encode()) or ()]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (f"a,keep,{AT}\nb,redo,{AT}\na,none,{AT}\n", [("a", "keep"), ("b", "redo"), ("a", "none")]),
        (f"a,keep,{AT}\nb,redo,{AT}", [("a", "keep"), ("b", "redo")]),
        (f"a,keep,{AT}\nb,redo,2026-11-22T20:0", [("a", "keep")]),
        (f"a,keep,{AT}\nb,redo,2026-11-22", [("a", "keep")]),
        (f"a,keep,{AT}\nb,red", [("a", "keep")]),
        (f'a,keep,{AT}\n"b,\nc,redo,{AT}\n', [("a", "keep"), ("c", "redo")]),
        (f"a,maybe,{AT}\n\n,keep,{AT}\nid,verdict,at\n", []),
        (f"'=1+1,keep,{AT}\n''x,keep,{AT}\n", [("=1+1", "keep"), ("''x", "keep")]),
        (f'a,keep,{AT}\r\n"b,c",redo,{AT}\r\n', [("a", "keep"), ("b,c", "redo")]),
    ],
)
def test_whole_lines_count(lines: str, expected: list[tuple[str, str]]) -> None:
    """In their order; a torn one takes no other with it."""
    assert told(HEAD + lines) == expected


@pytest.mark.parametrize(("delimiter", "start"), [(";", ""), ("\t", ""), (",", "\ufeff")])
def test_a_spreadsheet_may_have_saved_it(delimiter: str, start: str) -> None:
    """With its own delimiter, and a mark before the first line."""
    assert told(start + f"{HEAD}a,redo,{AT}\n".replace(",", delimiter)) == [("a", "redo")]


def test_other_tables_hold_no_verdicts() -> None:
    """A table of ids is read as before; one whose verdicts have no times could be about any image."""
    assert read_picks(b"id,prompt\na,koi\n") is None
    with pytest.raises(InvalidRequest, match='none "at"'):
        read_picks(b"id,verdict\na,keep\n")


IDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), min_size=1)


@given(verdicts=st.lists(st.tuples(IDS, st.sampled_from(VERDICTS)), max_size=8))
def test_what_is_added_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, verdicts: list[tuple[str, Verdict]]
) -> None:
    """Whatever ids there are, at once, and by whoever else has the file."""
    directory = tmp_path_factory.mktemp("run")
    file, other = PicksFile(directory), PicksFile(directory)
    for item_id, verdict in verdicts:
        file.add(item_id, verdict)
        assert [(pick.id, pick.verdict) for pick in other.news()] == [(item_id, verdict)]
    assert [(pick.id, pick.verdict) for pick in file.news()] == verdicts


def test_a_torn_line_is_ended_first(tmp_path: Path) -> None:
    """What follows it stands on a line of its own."""
    (tmp_path / "picks.csv").write_text(f'{HEAD}a,keep,{AT}\n"b,re')
    file = PicksFile(tmp_path)
    assert [pick.id for pick in file.news()] == ["a"]
    file.add("c", "reject")
    assert [pick.id for pick in file.news()] == ["c"]
    assert [pick.id for pick in PicksFile(tmp_path).news()] == ["a", "c"]


@pytest.mark.parametrize("text", ["prompt\nkoi\n", "id;verdict;at\n", "id,verdict\n"])
def test_a_foreign_file_is_left_alone(tmp_path: Path, text: str) -> None:
    """Lines of ours would not be read in it."""
    (tmp_path / "picks.csv").write_text(text)
    with pytest.raises(InvalidRequest, match="does not begin with id,verdict,at"):
        PicksFile(tmp_path).news()


def test_a_replaced_file_is_noticed(tmp_path: Path) -> None:
    """One that is shorter than what was read cannot be gone on with."""
    file = PicksFile(tmp_path)
    file.add("a", "keep")
    file.news()
    (tmp_path / "picks.csv").write_text(HEAD)
    with pytest.raises(InvalidRequest, match="replaced by a shorter one"):
        file.news()


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    """A directory that somebody else made must not lead out of itself."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(HEAD)
    (tmp_path / "picks.csv").symlink_to(elsewhere)
    with pytest.raises(InvalidRequest, match="is a link"):
        PicksFile(tmp_path).add("a", "keep")
    with pytest.raises(InvalidRequest, match="is a link"):
        PicksFile(tmp_path).news()
    assert elsewhere.read_text() == HEAD


def test_an_id_with_a_line_break_cannot_be_stored(tmp_path: Path) -> None:
    """It says so, and stores nothing."""
    with pytest.raises(InvalidRequest, match="line break"):
        PicksFile(tmp_path).add("a\nb", "keep")
    assert not (tmp_path / "picks.csv").exists()


@pytest.mark.parametrize(("sent", "is_about"), [(None, True), (NOON, True), (NOON + timedelta(seconds=1), False)])
def test_a_verdict_is_about_what_was_seen(sent: datetime | None, is_about: bool) -> None:
    """Not about an image that was made later."""
    assert Pick("a", "redo", NOON).is_about(sent) is is_about


def test_a_verdict_may_be_older_than_its_line(tmp_path: Path) -> None:
    """It is about what was seen when the journal was looked at, not about what was sent while the line was written."""
    file = PicksFile(tmp_path)
    file.add("a", "redo", NOON)
    assert [pick.at for pick in file.news()] == [NOON]


def test_ids_of_a_picks_file_are_those_to_redo(tmp_path: Path) -> None:
    """By their latest verdicts, and without those that were acted on; a table of ids gives all of its rows."""
    path = tmp_path / "any.csv"
    path.write_text(
        f"{HEAD}a,redo,{AT}\nb,keep,{AT}\nc,redo,{AT}\na,keep,{AT}\nd,redo,{AT}\nd,none,{AT}\ne,redo,{AT}\n"
    )
    ids = Ids((), str(path), False)
    assert ids.read(list) == ["c", "e"]
    assert ids.read(list, lambda pick: pick.id != "c") == ["e"]
    with pytest.raises(InvalidRequest, match="nothing was changed"):
        ids.read(list, lambda _: False)
    with pytest.raises(InvalidRequest, match="name the items"):
        Ids((), str(path), True).read(list)
