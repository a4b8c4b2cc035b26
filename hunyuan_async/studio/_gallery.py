"""What a review knows of a run: every item once, in the order of the input, and what is thought of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import cast

import attrs

from hunyuan_async._core.lifecycle import Item
from hunyuan_async._core.text import printable
from hunyuan_async.cli.picks import VERDICTS, Pick, Verdict
from hunyuan_async.cli.result_lines import Status, result_line
from hunyuan_async.settings import API_IN_ONE

LONGEST_TEXT = 4000  # characters shown of a prompt or a cell
MOST_VALUES = 100  # of a column that are offered to choose from
_SHA256 = re.compile("[0-9a-f]{64}")


@attrs.frozen
class Picture:
    """An image file of an item.

    Attributes:
        sha256: Of its bytes, as the journal has it; its name towards the browser.
        path: Where it is below the run's directory.
        width: In pixels, if known.
        height: In pixels, likewise.
    """

    sha256: str
    path: str
    width: int | None
    height: int | None


@attrs.define
class Shot:
    """An item as it is looked at.

    Attributes:
        id: Its id.
        status: How its latest attempt stands.
        prompt: What was asked for.
        size: In pixels, as it was sent.
        seed: As it was sent.
        error: Why there is no image, in words.
        pictures: What there is to see.
        columns: The cells of its row of the input, as text.
        sending_at: When its latest attempt was sent.
        verdict: What is thought of it.
    """

    id: str
    status: Status
    prompt: str
    size: str
    seed: object
    error: str
    pictures: tuple[Picture, ...]
    columns: Mapping[str, str]
    sending_at: datetime | None
    verdict: Verdict = "none"

    def as_json(self) -> dict[str, object]:
        """What the browser is told: text that moves nothing; no address, no path, no task id."""
        return {
            "id": printable(self.id),
            "status": self.status,
            "verdict": self.verdict,
            "sent": sent(self.sending_at),
            "prompt": printable(self.prompt, LONGEST_TEXT),
            "size": printable(self.size),
            "seed": self.seed,
            "error": printable(self.error),
            "images": [{"sha256": it.sha256, "width": it.width, "height": it.height} for it in self.pictures],
            "columns": {printable(name): printable(cell, LONGEST_TEXT) for name, cell in self.columns.items()},
        }


@attrs.frozen
class Wanted:
    """Which shots are asked for; what is empty asks for all.

    Attributes:
        status: How they stand.
        verdict: What is thought of them.
        column: A column of the input.
        value: The whole text of its cell, in any case; or a part of it, if no cell is just that.
        text: A part of the prompt, in any case.
    """

    status: str = ""
    verdict: str = ""
    column: str = ""
    value: str = ""
    text: str = ""


@attrs.define
class Gallery:
    """All shots of a run. Their positions, counted from 0, stay the same while it is open.

    Attributes:
        shots: In the order of the input.
        pictures: By their sha256.
    """

    shots: list[Shot] = attrs.field(factory=list)
    pictures: dict[str, Picture] = attrs.field(factory=dict)
    _positions: dict[str, int] = attrs.field(factory=dict)
    _changed: list[int] = attrs.field(factory=list)

    @classmethod
    def of(cls, items: Iterable[Item], directory: Path) -> Gallery:
        """Take in the latest attempts of a run's items."""
        gallery = cls()
        for item in items:
            shot = _shot(item, directory)
            gallery._positions[shot.id] = len(gallery.shots)
            gallery.shots.append(shot)
            gallery.pictures |= {picture.sha256: picture for picture in shot.pictures}
        return gallery

    def take(self, picks: Iterable[Pick]) -> None:
        """Note verdicts, the latest last; those about images that were made again since are over."""
        for pick in picks:
            position = self._positions.get(pick.id)
            if position is not None and pick.is_about(self.shots[position].sending_at):
                self.shots[position].verdict = pick.verdict
                self._changed.append(position)

    def follow(self, before: Gallery) -> None:
        """Go on counting changes where an earlier reading of the same run ends."""
        pairs = enumerate(zip(self.shots, before.shots, strict=False))
        self._changed = [*before._changed, *(at for at, (now, then) in pairs if now.verdict != then.verdict)]

    def news(self, after: int) -> dict[str, object]:
        """What changed after so many changes of verdicts, and how the counts stand."""
        changed = dict.fromkeys(self._changed[max(after, 0) :])
        return {
            "number": len(self._changed),
            "verdicts": {position: self.shots[position].verdict for position in changed},
            "counts": dict.fromkeys(VERDICTS, 0) | Counter(shot.verdict for shot in self.shots),
        }

    def statuses(self) -> dict[str, int]:
        """How many shots stand how."""
        return dict(Counter(shot.status for shot in self.shots))

    def columns(self) -> dict[str, list[str]]:
        """The columns of the input, each with its values if they are few."""
        found: dict[str, dict[str, None]] = {}
        for shot in self.shots:
            for name, cell in shot.columns.items():
                values = found.setdefault(name, {})
                if len(values) <= MOST_VALUES:
                    values[cell] = None
        return {name: [*values] if len(values) <= MOST_VALUES else [] for name, values in found.items()}

    def positions(self, wanted: Wanted) -> list[int]:
        """Where the shots are that are asked for."""
        text = wanted.text.casefold()
        found = [
            position
            for position, shot in enumerate(self.shots)
            if wanted.status in ("", shot.status)
            and wanted.verdict in ("", shot.verdict)
            and (not text or text in shot.prompt.casefold())
        ]
        if not (wanted.column and wanted.value):
            return found
        value = wanted.value.casefold()
        cells = {position: self.shots[position].columns.get(wanted.column, "").casefold() for position in found}
        same = [position for position, cell in cells.items() if cell == value]
        return same or [position for position, cell in cells.items() if value in cell]


def sent(sending_at: datetime | None) -> str:
    """What a page calls an attempt by; another one was sent at another time."""
    return sending_at.isoformat() if sending_at else ""


def _shot(item: Item, directory: Path) -> Shot:
    line = result_line(item, directory, API_IN_ONE)
    columns = {**line["input"], **cast("Mapping[str, object]", item.detail["given"]), "id": item.id}
    request, error = line["request"], line["error"]
    return Shot(
        id=item.id,
        status=line["status"],
        prompt=str(request["prompt"]),
        size=str(request["size"]),
        seed=request["seed"],
        error=f"{error['kind']}: {error['message']}" if error else "",
        pictures=tuple(picture for image in line["images"] if (picture := _picture(image))),
        columns={name: cell if isinstance(cell, str) else str(cell) for name, cell in columns.items()},
        sending_at=item.sending_at,
    )


def _picture(image: Mapping[str, object]) -> Picture | None:
    """Return what can be asked for, if it can: a journal may be the work of somebody else."""
    sha256, path = str(image["sha256"]), str(image["path"])
    if not _SHA256.fullmatch(sha256):
        return None
    return Picture(sha256, path, cast("int | None", image["width"]), cast("int | None", image["height"]))
