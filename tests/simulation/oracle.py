"""What must hold whatever happens: the service's memory against the journals and the files of the processes."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from hunyuan_async._core.lifecycle import AT_RISK, SPENT, Item, State
from hunyuan_async._journal.disk import JOURNAL
from hunyuan_async._journal.reader import JournalReader
from hunyuan_async.cli.result_lines import result_line
from hunyuan_async.errors import HunyuanError, JournalError
from hunyuan_async.models import Outcome
from hunyuan_async.settings import API_IN_ONE
from tests.simulation.disk import visible
from tests.simulation.faults import Reach
from tests.simulation.service import PRICE, Service, Task

CALLS = "calls.sqlite"
OUT = "out"


@attrs.define
class Oracle:
    """Compares what the service knows with what is on disk.

    Attributes:
        service: Whose memory is never wrong.
        place: Where the run's directory and the calls' journal are.
        planned: The ids of the run's items, once they are stored.
        cleared: How often a person said of an item that it was not charged.
        repeated: Items that somebody wanted made again although they may be paid.
        surprised: Items that were being sent when a process died.
        removed: Images that somebody removed since the last process.
    """

    service: Service
    place: Path
    planned: list[str] = attrs.field(factory=list)
    cleared: dict[str, int] = attrs.field(factory=lambda: defaultdict(int))
    repeated: set[str] = attrs.field(factory=set)
    surprised: set[str] = attrs.field(factory=set)
    removed: set[Path] = attrs.field(factory=set)
    _handed_over: Counter[str] = attrs.field(factory=Counter)

    def handed_over(self, outcome: Outcome) -> None:
        """Check what a caller is told of an item."""
        assert outcome.request
        key = outcome.request.id or ""
        self.told(key, outcome.error)
        self._handed_over[key] += 1
        passes = 1 if self.service.scenario.on_unknown == "hold" else 2  # unknown outcomes are settled after the first
        assert self._handed_over[key] <= passes or key in self.repeated, f"{key} was handed over again"
        for file in outcome.files:
            assert file.path.exists(), f"{key} was handed over without its file"

    def begin_pass(self) -> None:
        """Note that somebody iterates over the run from the beginning."""
        self._handed_over.clear()

    def told(self, key: str, error: HunyuanError | None) -> None:
        """Check what an error says of the cost of *key*, whose attempts are all over."""
        made = sum(post.task is not None for post in self.service.posts[key])
        if error is None or error.charged == "yes":
            assert made, f"{key} is said to be paid, and the service never made it"
        elif error.charged == "no" and not self._made_again(key):
            assert not made, f"{key} is said to have cost nothing, and it is paid: {error!r}"

    def check_recorded(self, key: str) -> None:
        """Check that *key*, which is about to leave, is on disk as being sent."""
        journal, run = self._book(key)
        with JournalReader.read_only(journal) as reader:
            record = reader.only_run() if run else None
            item = reader.item(record.run if record else "", key)
        assert item, f"{key} leaves, and no journal knows it"
        assert item.state is State.SENDING, f"{key} leaves while it is {item.state.value}"

    def check_disk(self, durable: set[str], *, died: bool) -> None:
        """Check what a process left; it may count those images as saved that are *durable*."""
        items, calls = self.run_items(), self._call_items()
        sending = {item.id for item in (*items, *calls) if item.state is State.SENDING}
        assert died or sending <= self.surprised, f"it ended in order, and {sending} are still being sent"
        self.surprised |= sending
        self._check_items([key for key in self.service.posts if key.startswith("x")], items)
        self._check_items([key for key in self.service.posts if not key.startswith("x")], calls)
        self._check_files(items, durable)
        limit = self.service.scenario.run_credits
        spent = self._spent()
        assert limit is None or spent <= limit, f"{spent} credits are spent or at risk, and {limit} were allowed"

    def check_life(self, life: int) -> None:
        """Check what a process spent of the credits that it was allowed."""
        limit = self.service.scenario.life_credits
        posts = [
            post
            for key in self.service.posts
            for post in self.service.posts[key]
            if post.life == life or not key.startswith("x")
        ]
        made = PRICE * sum(post.task is not None for post in posts)
        assert limit is None or made <= limit, f"{made} credits were charged, and {limit} were allowed"

    def check_end(self) -> None:
        """Check that everything has ended that can end, now that the faults have."""
        assert self.planned == self._lines(), "each item needs one line"
        for item in [*self.run_items(), *self._call_items()]:
            assert self._may_end(item), f"{item.id} ends as {item.state.value}: {item.error!r}"

    def run_items(self) -> list[Item]:
        """All attempts of the run's items."""
        return self._items(self.place / OUT / JOURNAL, self.place / OUT)

    def unaccounted(self, key: str, items: Iterable[Item]) -> list[Task]:
        """What the service made for *key* without that its journal, which holds *items*, says so."""
        paid = {item.task_id for item in items if item.id == key and item.state in SPENT}
        return [post.task for post in self.service.posts[key] if post.task and post.task.id not in paid]

    def _made_again(self, key: str) -> bool:
        asked_for = self.service.scenario.on_unknown == "resubmit" and key.startswith("x")
        return asked_for or key in self.repeated

    def _spent(self) -> int:
        return sum(item.credits for item in self.run_items() if item.state in SPENT | AT_RISK)

    def _call_items(self) -> list[Item]:
        return self._items(self.place / CALLS, None)

    def _items(self, journal: Path, root: Path | None) -> list[Item]:
        try:
            with JournalReader.read_only(journal, root) as reader:
                record = reader.only_run()
                if root and record is None:
                    return []
                return reader.items(record.run if record else "", [*State], limit=-1)
        except (JournalError, FileNotFoundError):  # it was not even a journal yet
            return []

    def _check_items(self, keys: Iterable[str], items: Sequence[Item]) -> None:
        attempts: dict[str, list[Item]] = {key: [] for key in keys}
        for item in items:
            attempts.setdefault(item.id, []).append(item)
        for key, held in attempts.items():
            posts = self.service.posts.get(key, [])
            counted = [item for item in held if item.state in SPENT | AT_RISK]
            sent = [post for post in posts if post.reach is not Reach.REFUSED]
            assert len(sent) <= len(counted) + self.cleared[key], f"{key} was sent again: {posts}, {held}"
            made = sum(post.task is not None for post in posts)
            assert made <= len(counted), f"{key} cost more than its journal says: {posts}, {held}"
            missing = self.unaccounted(key, held)
            in_doubt = sum(item.state in AT_RISK or item.task_id == "" for item in counted)
            assert len(missing) <= in_doubt, f"the ids of {missing} are lost: {held}"
            doubtful = key in self.surprised or not all(post.is_clear for post in posts)
            unknown = any(item.state is State.UNKNOWN for item in held)
            assert doubtful or not unknown, f"{key} is unknown, and every answer was clear: {posts}"

    def _check_files(self, items: Sequence[Item], durable: set[str]) -> None:
        images = {self.service.image(task) for task in self.service.tasks}
        for item in items:
            for file in item.files if item.state is State.DOWNLOADED else ():
                if file.path in self.removed:
                    continue
                data = file.path.read_bytes()
                assert (len(data), hashlib.sha256(data).hexdigest()) == (file.bytes, file.sha256), item.id
                assert data in images, f"{item.id} is no image of this service"
                assert file.path.name in durable, f"{item.id} would not survive a power failure"
        for path in visible(self.place / OUT):
            assert path.read_bytes() in images, f"{path.name} is not whole"

    def _lines(self) -> list[str]:
        with JournalReader.read_only(self.place / OUT / JOURNAL, self.place / OUT) as reader:
            record = reader.only_run()
            assert record
            return [result_line(item, self.place / OUT, API_IN_ONE)["id"] for item in reader.latest(record.run)]

    def _may_end(self, item: Item) -> bool:
        task, scenario = self.service.tasks.get(item.task_id or ""), self.service.scenario
        fate, is_limited = task.fate if task else "", scenario.life_credits is not None
        limit = math.inf if scenario.run_credits is None else scenario.run_credits
        match item.state:
            case State.PLANNED:  # a call belongs to its process, which is gone; else a limit is met
                return not item.run or is_limited or self._spent() + PRICE > limit
            case State.SENDING:
                return False
            case State.SUBMITTED:
                return fate == "never"
            case State.COMPLETED:
                return not item.run or fate == "no image" or not item.task_id
            case State.UNKNOWN:
                return not item.run or scenario.on_unknown == "hold"
            case State.EXPIRED:
                return fate == "gone" or "gone for now" in scenario.fetches or not item.task_id
            case State.LOST:
                storms = {storm.kind for storm in scenario.storms}
                return fate == "forgotten" or "no such task" in scenario.polls or "amnesia" in storms
            case State.FAILED:
                return fate in ("failed", "takes it back") or "finished at once" in scenario.submits
        return True

    def _book(self, key: str) -> tuple[Path, bool]:
        return (self.place / OUT / JOURNAL, True) if key.startswith("x") else (self.place / CALLS, False)
