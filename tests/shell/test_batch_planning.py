"""From an input to a run's journal, in one pass, and the plan that is shown of it."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs
import pytest

from hunyuan_async._core.lifecycle import Item, State, Step
from hunyuan_async._journal.file import JournalFile
from hunyuan_async._journal.planning import Planning
from hunyuan_async.cli.inputs import BadLine, Row, read_rows
from hunyuan_async.cli.items import RowOptions
from hunyuan_async.cli.plan import make_plan
from hunyuan_async.cli.planning import InputPlan, plan_input
from hunyuan_async.errors import InvalidRequest
from hunyuan_async.settings import API_IN_ONE

Columns = dict[str, object]
PLAIN = RowOptions()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[JournalFile]:
    """A new journal."""
    with JournalFile.open(tmp_path / "journal.sqlite") as file:
        yield file


def plan(
    journal: JournalFile,
    rows: Iterable[Columns | None],
    options: RowOptions = PLAIN,
    *,
    limit: int | None = None,
    sample: int | None = None,
) -> InputPlan:
    """Plan rows that stand in lines 1, 2, ..., of which None is a bad one."""
    record = journal.begin_run()
    entries = (Row(line, row) if row else BadLine(line, "odd") for line, row in enumerate(rows, 1))
    with journal.planning(record.run) as planning:
        found = plan_input(planning, entries, options, record, limit=limit, sample=sample)
        planning.keep = True
    return found


def numbered(*numbers: int) -> list[Columns | None]:
    """Rows of which each has an id and asks for something else."""
    return [{"id": f"koi-{number}", "prompt": f"koi {number}"} for number in numbers]


def items(journal: JournalFile, state: State = State.PLANNED) -> list[Item]:
    """The latest attempts in a state."""
    return [item for item in journal.latest(journal.begin_run().run) if item.state is state]


def ids(journal: JournalFile, state: State = State.PLANNED) -> list[str]:
    """Their ids."""
    return [item.id for item in items(journal, state)]


def send(journal: JournalFile, *item_ids: str) -> None:
    """Have items sent."""
    for item in items(journal):
        if item.id in item_ids:
            journal.record(item, Step.SEND)


def counts(planning: Planning) -> list[int]:
    """What a pass came to."""
    return [planning.new, planning.known, planning.edited, planning.changed, planning.repeats]


def test_an_input_is_planned_with_its_bad_lines_told(journal: JournalFile) -> None:
    """Images, rows and repeats are counted, whatever stands between them."""
    options = RowOptions(variations=2)

    found = plan(journal, [*numbered(1), None, *numbered(2, 1)], options)

    assert ids(journal) == ["koi-1", "koi-1-2", "koi-2", "koi-2-2"]
    assert ids(journal, State.SKIPPED) == ["koi-1_2", "koi-1_2-2"]
    assert (counts(found.planning), found.rows, found.gone) == ([4, 0, 0, 0, 2], 2, 0)
    assert found.bad == (BadLine(2, "odd"),)
    assert found.lines() == ["2 more would repeat others exactly: left out (--duplicates make buys them)"]


def test_an_input_without_a_row_is_refused(journal: JournalFile) -> None:
    """There is nothing to make of bad lines either, but they are told first."""
    for rows in ([], [None]):
        found = plan(journal, rows)
        with pytest.raises(InvalidRequest, match="holds no row"):
            found.check(PLAIN)


def test_what_an_input_no_longer_asks_for_is_not_made(journal: JournalFile) -> None:
    """That is told, as is what is new, edited or as before."""
    plan(journal, numbered(1, 2, 3, 4))
    send(journal, "koi-4")

    found = plan(journal, [*numbered(5, 4), {"id": "koi-1", "prompt": "carp"}, *numbered(2)])

    found.check(PLAIN)
    assert (ids(journal), ids(journal, State.SKIPPED)) == (["koi-1", "koi-2", "koi-5"], ["koi-3"])
    assert found.lines() == ["Images 2 as before, 1 edited before they were sent, 1 new, 1 no longer asked for"]


def test_changed_rows_stop_everything_unless_something_is_said(journal: JournalFile) -> None:
    """The message tells how many, what they cost, which ones, and what can be said."""
    plan(journal, numbered(1, 2, 3))
    send(journal, "koi-1", "koi-2")
    edited: list[Columns | None] = [{"id": "koi-1", "prompt": "carp"}, *numbered(2, 3, 4)]

    with pytest.raises(InvalidRequest) as caught:
        plan(journal, edited).check(PLAIN)
    assert caught.value.message == (
        "1 of 4 rows changed: 25 credits; `--changed redo` makes them as attempt 2, `--changed keep` leaves them. "
        "They are: koi-1"
    )

    for changed, waiting in (("keep", ["koi-3", "koi-4"]), ("redo", ["koi-1", "koi-3", "koi-4"])):
        options = RowOptions(changed="keep" if changed == "keep" else "redo")
        plan(journal, edited, options).check(options)
        assert ids(journal) == waiting
    assert items(journal)[0].attempt == 2
    assert counts(plan(journal, edited).planning) == [0, 4, 0, 0, 0]


def test_a_limit_plans_the_first_images_alone(journal: JournalFile) -> None:
    """The same ones again; repeats do not count, and the rest of the input is not read."""
    rows = [*numbered(1, 1), None, *numbered(2, 3)]
    for _ in range(2):
        unread = iter(rows)
        found = plan(journal, unread, RowOptions(variations=2), limit=3)
        assert ids(journal) == ["koi-1", "koi-1-2", "koi-2"]
        assert (found.rows, len([*unread])) == (2, 1)

    plan(journal, rows, RowOptions(variations=2))
    assert [item.attempt for item in items(journal)] == [1] * 6
    plan(journal, rows, RowOptions(variations=2), limit=3)
    assert ids(journal) == ["koi-1", "koi-1-2", "koi-2"]


def test_a_sample_is_drawn_by_the_run_alone(journal: JournalFile, tmp_path: Path) -> None:
    """The same images again, in the order of the input, also if that changed; another run draws others."""
    found = plan(journal, numbered(*range(200)), sample=20)
    drawn = ids(journal)
    again = plan(journal, numbered(*reversed(range(200))), sample=20)

    assert len(drawn) == found.rows == again.planning.known == 20
    assert drawn == sorted(drawn, key=lambda item_id: int(item_id[4:]))
    assert ids(journal) == drawn
    plan(journal, numbered(*range(200)), sample=20, limit=5)
    assert ids(journal) == drawn[:5]
    with JournalFile.open(tmp_path / "other.sqlite") as other:
        plan(other, numbered(*range(200)), sample=20)
        assert ids(other) != drawn


def test_rows_far_apart_still_repeat_and_contradict_each_other(journal: JournalFile) -> None:
    """Whatever stands between them, the line of the first is told."""
    rows: list[Columns | None] = [
        *numbered(*range(5_000)),
        *numbered(1),
        {"id": "koi-2", "prompt": "carp"},
        *numbered(1),
    ]

    found = plan(journal, rows)

    assert [(bad.line, bad.problem) for bad in found.bad] == [
        (5002, "id 'koi-2' is already that of another request, in line 3")
    ]
    assert [(item.id, item.detail["duplicate_of"]) for item in items(journal, State.SKIPPED)] == [
        ("koi-1_2", "koi-1"),
        ("koi-1_3", "koi-1"),
    ]


def test_ids_indices_and_seeds_stay_whatever_becomes_of_other_rows(journal: JournalFile) -> None:
    """Rows are inserted, deleted and reordered; each image keeps what it had."""
    texts: list[Columns | None] = [{"prompt": text} for text in "abcdef"]
    plan(journal, texts)
    before = {item.id: (item.detail["index"], item.request, item.attempt) for item in items(journal)}

    plan(journal, [{"prompt": "new"}, *texts[4:], None, *texts[:3]])

    after = {item.id: (item.detail["index"], item.request, item.attempt) for item in items(journal)}
    assert [item_id for item_id, facts in before.items() if after.get(item_id) == facts] == [
        item_id for item_id in before if item_id in after
    ]
    assert len(before.keys() & after.keys()) == 5
    assert sorted(str(index) for index, _, _ in after.values()) == ["0", "1", "2", "4", "5", "6"]


def test_an_edited_prompt_keeps_its_seed(journal: JournalFile) -> None:
    """With an id of its own, before and after it was sent."""
    plan(journal, numbered(1, 2))
    seeds = [item.request and item.request.seed for item in items(journal)]
    send(journal, "koi-1")

    plan(journal, [{"id": f"koi-{number}", "prompt": "carp"} for number in (1, 2)], RowOptions(changed="redo"))

    assert [item.request and (item.request.prompt, item.request.seed) for item in items(journal)] == [
        ("carp", seed) for seed in seeds
    ]


def test_progress_is_told_in_one_pass_over_standard_input(journal: JournalFile) -> None:
    """A stream that can be read once is enough."""
    source = io.BytesIO(b"koi\n" * 25_000)
    told: list[int] = []
    record = journal.begin_run()

    with journal.planning(record.run) as planning:
        plan_input(planning, read_rows(source, "txt"), PLAIN, record, on_rows=told.append)

    assert (told, counts(planning)) == ([10_000, 20_000], [1, 0, 0, 0, 24_999])


def test_the_plan_is_of_what_is_still_to_be_sent(journal: JournalFile) -> None:
    """Exact in images and credits; the disk's part follows from the first images' sizes."""
    rows: list[Columns | None] = [
        {"prompt": f"koi {number}", "size": "512*512" if number % 2 else "1024*1024"} for number in range(1200)
    ]
    found = plan(journal, rows)
    run = journal.begin_run().run

    made = make_plan(journal, run, API_IN_ONE, rows=found.rows)
    assert (made.images, made.credits, made.prompts) == (1200, 30_000, ("koi 0", "koi 1", "koi 2"))
    assert made.bytes_needed == pytest.approx(1200 * 1.6e6 * 5 / 8)
    send(journal, *ids(journal)[:1100])
    left = make_plan(journal, run, attrs.evolve(API_IN_ONE, usd_per_credit=1))
    assert left.lines()[0] == "Left   100 images"
    assert (left.credits, left.dollars, left.prompts[0]) == (2500, 2500, "koi 1100")
    assert make_plan(journal, "other", API_IN_ONE).bytes_needed == 0
