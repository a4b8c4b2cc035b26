"""The service behind every process of a scenario: it remembers what it received, issued and charged."""

from __future__ import annotations

import itertools
import math
import struct
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from random import Random

import attrs

from hunyuan_async.testing import NoReply, Reply, accepted, refused
from tests.simulation import faults
from tests.simulation.faults import Answer, Reach, SubmitFault
from tests.simulation.scenario import Scenario

PRICE = 25
HEALED = 30.0  # seconds after which what is "not yet" comes
LAG = 40.0  # seconds for which a new task may not be known everywhere


@attrs.define
class Task:
    """An image that the service makes, and has charged.

    Attributes:
        id: Given out when it was accepted, if the answer arrived.
        key: The item that it is made for.
        made_at: In seconds of the service's time.
        done_at: When it ends.
        fate: One of `FATES`, or nothing for an image.
        shown: Whether somebody has seen it finished.
    """

    id: str
    key: str
    made_at: float
    done_at: float
    fate: str
    shown: bool = False


@attrs.define
class Post:
    """A submit that left a process.

    Attributes:
        life: Which process.
        reach: How far it came.
        seen: What is answered.
        task: What was made for it.
        late: Whether the answer takes longer than a process that ends waits for it.
    """

    life: int
    reach: Reach
    seen: Reply | NoReply = attrs.field(init=False)
    task: Task | None = None
    late: bool = False

    @property
    def is_clear(self) -> bool:
        """Whether its answer, if there is somebody to read it, leaves no doubt."""
        return self.reach in {Reach.REFUSED, Reach.MADE} and not self.late


@attrs.define
class Service:
    """Takes submits, shows tasks, and fails as the scenario says until `faults_end`.

    Attributes:
        scenario: What was decided beforehand.
        now: Tells its time.
        posts: Every submit that left, by item.
        tasks: Everything made and charged, by id.
        calm: Whether the faults have ended.
    """

    scenario: Scenario
    now: Callable[[], float]
    posts: dict[str, list[Post]] = attrs.field(factory=lambda: defaultdict(list))
    tasks: dict[str, Task] = attrs.field(factory=dict)
    calm: bool = False
    draw: Random = attrs.field(init=False)
    _numbers: itertools.count[int] = attrs.field(factory=lambda: itertools.count(70_000_000))

    def __attrs_post_init__(self) -> None:
        self.draw = Random(f"service {self.scenario.seed}")

    def faults_end(self) -> None:
        """Answer everything well from now on; whatever is stuck comes loose."""
        self.calm = True
        for task in self.tasks.values():
            if task.fate in ("stuck", "no image yet", "not known yet"):
                task.fate, task.done_at = "", min(task.done_at, self.now() + HEALED)

    def submit_fault(self) -> SubmitFault | None:
        """Say what befalls a submit that is about to be sent."""
        kind = self._storm(0) or self._fired(self.scenario.submits)
        return faults.SUBMITS[kind] if kind else None

    def take(self, key: str, life: int, fault: SubmitFault | None) -> Post:
        """Take a submit that left a process, or lose it."""
        post = Post(life, fault.reach if fault else Reach.MADE)
        self.posts[key].append(post)
        if fault is None and (refusal := self._refusal()):
            post.reach, post.seen = Reach.REFUSED, refusal
            return post
        if post.reach in {Reach.MADE, Reach.CUT} or (post.reach is Reach.UNCLEAR and self.draw.random() < 0.5):
            post.task = self._make(key)
        post.seen = self._answer(fault.answers if fault else faults.ACCEPTED, post.task)
        return post

    def poll(self, task_id: str) -> Reply | NoReply:
        """Show a task."""
        kind = self._storm(1) or self._fired(self.scenario.polls)
        task, now = self.tasks.get(task_id), self.now()
        if task and kind:
            return self._answer(faults.POLLS[kind], task)
        if task is None or task.fate == "forgotten" or (task.fate == "not known yet" and now < task.made_at + LAG):
            return refused(404, "no such task")
        ended = now >= task.done_at and task.fate not in ("stuck", "never")
        if not ended:
            return accepted(task_id)
        answers = faults.DONE
        if task.fate == "failed" or (task.fate == "takes it back" and task.shown):
            answers = faults.FAILED
        elif task.fate == "no image" or (task.fate == "no image yet" and now < task.done_at + HEALED):
            answers = faults.NO_IMAGE
        task.shown = True
        return self._answer(answers, task)

    def fetch_fault(self) -> str:
        """Say what befalls a download, if anything."""
        return self._fired(self.scenario.fetches)

    def image(self, task_id: str) -> bytes:
        """The image of a task: a PNG of one pixel that no other task has."""
        return _PNG_HEAD + _chunk(b"tEXt", b"task\0" + task_id.encode()) + _PNG_REST

    def _make(self, key: str) -> Task:
        now, seconds = self.now(), self.scenario.latency * math.exp(self.draw.gauss(0, 0.5))
        fate = self._fired(self.scenario.fates)
        task = Task(f"{next(self._numbers)}", key, now, now + seconds, fate)
        self.tasks[task.id] = task
        return task

    def _refusal(self) -> Reply | None:
        now = self.now()
        if not self.calm and len(self.tasks) * PRICE >= self.scenario.balance:
            return refused(402, "insufficient credits")
        if sum(task.made_at <= now < task.done_at for task in self.tasks.values()) >= self.scenario.capacity:
            return refused(429, "too many tasks")
        return None

    def _answer(self, answers: Sequence[Answer], task: Task | None) -> Reply | NoReply:
        return self.draw.choice(answers)(task.id if task else "", self.draw)

    def _storm(self, request: int) -> str:
        now = self.now()
        kinds = (storm.kind for storm in self.scenario.storms if storm.since <= now < storm.until)
        kind = next(kinds, None)
        return faults.STORMS[kind][request] if kind and not self.calm else ""

    def _fired(self, shares: Mapping[str, float]) -> str:
        if self.calm:
            return ""
        return next((kind for kind, share in shares.items() if self.draw.random() < share), "")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


_PNG_HEAD = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
_PNG_REST = _chunk(b"IDAT", zlib.compress(b"\0\0")) + _chunk(b"IEND", b"")
