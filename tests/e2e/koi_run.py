"""A run's directory, as a batch would have left it, made without one."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw

from hunyuan_async._core.lifecycle import Item, State, Step
from hunyuan_async._journal.file import JournalFile
from hunyuan_async.errors import ContentRefused
from hunyuan_async.models import ImageRequest, SavedImage, TaskState, TaskStatus

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
STEPS = (
    (State.SENDING, Step.SEND),
    (State.SUBMITTED, Step.ACCEPT),
    (State.COMPLETED, Step.COMPLETE),
    (State.DOWNLOADED, Step.SAVE),
)


def write_run(out: Path, images: int, *prompts: str, also: int = 0) -> Path:
    """Write so many images, k0, k1, ..., one that was refused, and some still to be made: the *prompts*, and others."""
    out.mkdir()
    with JournalFile.open(out / "journal.sqlite", out) as file:
        run = file.begin_run().run
        items = [_item(run, number, f"koi number {number}") for number in range(images + 1)]
        later = [*prompts, *(f"pond number {number}" for number in range(also))]
        with file.planning(run) as planning:
            for item in items:
                planning.add(item)
            for number, prompt in enumerate(later, start=images + 1):
                planning.add(_item(run, number, prompt))
            planning.keep = True
        for number, item in enumerate(items[:-1]):
            carry_out(file, item, picture(out, number))
        refused = items[-1]
        refused.sending_at, refused.error = NOON, ContentRefused("the policy <b>forbids</b> it")
        for refused.state, step in ((State.SENDING, Step.SEND), (State.REJECTED, Step.REJECT)):
            file.record(refused, step)
    return out


def picture(out: Path, number: int) -> SavedImage:
    """An image in the run's directory, of a colour of its own."""
    file = BytesIO()
    image = Image.new("RGB", (320, 240), f"hsl({number * 47 % 360}, 45%, 45%)")
    ImageDraw.Draw(image).ellipse((60, 40, 260, 200), fill=f"hsl({number * 47 % 360 + 90}, 60%, 70%)")
    image.save(file, "PNG")
    path = out / "images" / "0000" / f"k{number}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.getvalue())
    digest = hashlib.sha256(file.getvalue()).hexdigest()
    return SavedImage(path, "https://cdn.example/a?signature=SECRET", digest, path.stat().st_size, 320, 240)


def carry_out(file: JournalFile, item: Item, made: SavedImage, when: datetime = NOON) -> None:
    """Store that *item* was sent and its image saved."""
    item.sending_at = item.submitted_at = item.finished_at = when
    item.task_id = f"n68-{item.id}-{item.attempt}"
    item.completion = TaskStatus(item.task_id, TaskState.COMPLETED, (made.url,))
    item.files = (made,)
    for item.state, step in STEPS:
        file.record(item, step)


def _item(run: str, number: int, prompt: str) -> Item:
    request = ImageRequest(prompt, seed=number, id=f"k{number}")
    row = {"line": number + 2, "variation": 1, "input": {"colour": "red" if number % 2 else "gold"}}
    return Item(f"k{number}", request, 25, run=run, given=str(number), detail={**row, "given": {"prompt": prompt}})
