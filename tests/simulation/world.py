"""One scenario from its first process to its last: each lives on a loop of its own, and leaves its disk to the next."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from tests.simulation.disk import Disk, LockstepLoop, copy_file, visible
from tests.simulation.line import Line
from tests.simulation.oracle import OUT, Oracle
from tests.simulation.program import Program
from tests.simulation.scenario import Life, Scenario, draw_scenario
from tests.simulation.service import Service

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - commits that wait for a disk would take most of the time
LONGEST_LIFE = 7 * 86_400.0  # seconds of virtual time, with faults
FORGOTTEN = 0.5  # of the names that are not safe on disk yet, when the power fails
CALM = Life([], {}, 0)


@attrs.define
class World:
    """A scenario on its way.

    Attributes:
        scenario: What was decided beforehand.
        place: Holds the disk of its processes.
        trace: Everything that happened, without what differs from run to run.
        dead: Whether the present process has died; what still runs of it is a ghost that reaches nobody.
    """

    scenario: Scenario
    place: Path
    trace: list[str]
    dead: bool = False
    _lives: int = 0
    _moments: int = 0  # of the present process
    _began: float = 0.0  # the same, in the service's time
    _lost: list[str] = attrs.field(factory=list)  # errors that nobody else would see
    _draw: random.Random = attrs.field(init=False)
    _service: Service = attrs.field(init=False)
    _oracle: Oracle = attrs.field(init=False)
    _disk: Disk = attrs.field(init=False)
    _loop: LockstepLoop = attrs.field(init=False)
    _program: Program = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._draw = random.Random(f"world {self.scenario.seed}")
        self._service = Service(self.scenario, self.now)
        self._oracle = Oracle(self._service, self.place / "disk")
        self._disk = Disk(self.moment)
        (self.place / "disk").mkdir()

    def now(self) -> float:
        """The service's time."""
        return self._began + self._loop.time()

    def play(self) -> None:
        """Let one process after the other live, the last one without faults; check what each leaves."""
        with _errors_heard(self._lose):
            for life in self.scenario.lives:
                self._live(life, LONGEST_LIFE)
            self._service.faults_end()
            self._live(CALM, self._longest_calm())
        self._oracle.check_end()

    def moment(self, name: str) -> None:
        """Note that something happens; perhaps an interruption strikes just then."""
        if self.dead:
            return
        self._moments += 1
        self._note(name)
        match self._program.life.interruptions.get(self._moments):
            case None:
                pass
            case "kill" | "power" as strike:
                self._note(strike)
                self._die(power=strike == "power")
            case strike:
                self._note(strike)
                self._program.interrupt(strike)

    def check_recorded(self, key: str) -> None:
        """Check that *key*, which is about to leave, is on disk as being sent."""
        self._oracle.check_recorded(key)

    def _note(self, what: str) -> None:
        if not self.dead:
            self.trace.append(f"{self._lives} {self.now():.6f} {what}")

    def _lose(self, error: str) -> None:
        if not self.dead:
            self._lost.append(error)

    def _live(self, life: Life, longest: float) -> None:
        self.dead, self._moments = False, 0
        self._lives += 1
        self._program = Program(
            self.scenario, life, self._lives, self.place / "disk", self._oracle, self._draw, self._note
        )
        line = Line(self._service, self, self._lives)
        with self._disk.watched(), asyncio.Runner(loop_factory=self._make_loop) as runner:
            try:
                runner.run(self._program.work(line, longest))
            except BaseException:
                if not self.dead:  # what becomes of a ghost is nobody's business
                    raise
        if self.dead:
            shutil.rmtree(self.place / "disk")
            (self.place / "left").rename(self.place / "disk")
        assert not self._lost, self._lost
        self._oracle.check_disk(self._disk.durable, died=self.dead)
        self._oracle.check_life(self._lives)
        self._began = self.now() + life.pause
        if life.removes:
            self._remove_an_image()

    def _make_loop(self) -> LockstepLoop:
        self._loop = LockstepLoop()
        self._loop.set_exception_handler(lambda _, context: self._lose(str(context)))
        return self._loop

    def _die(self, *, power: bool) -> None:
        """Keep what the process leaves if it dies now; the rest of it will change nothing any more."""
        disk, left = self.place / "disk", self.place / "left"
        shutil.copytree(disk, left, copy_function=copy_file)
        for path in [*sorted(disk.glob(f"{OUT}/images/*/*"))] if power else ():
            survives, copy = self._disk.survives(path), left / path.relative_to(disk)
            if survives is False:
                copy.write_bytes(copy.read_bytes()[: self._draw.randrange(copy.stat().st_size + 1)])
            elif survives is None and self._draw.random() < FORGOTTEN:
                copy.unlink()
        self.dead = True
        self._loop.stop()

    def _remove_an_image(self) -> None:
        if images := sorted(visible(self.place / "disk" / OUT)):
            image = self._draw.choice(images)
            image.unlink()
            self._oracle.removed.add(image)

    def _longest_calm(self) -> float:
        scenario = self.scenario
        at_once = min(scenario.limits.in_flight or 2, scenario.capacity)
        hopeless = sum(task.fate in ("never", "forgotten", "no image") for task in self._service.tasks.values())
        waits = 10 * scenario.items * (scenario.latency + 1) + hopeless * scenario.timeouts.task
        return 2 * scenario.timeouts.task + waits / at_once


def simulate(seed: int, most_items: int = 100, trace: list[str] | None = None) -> str:
    """Play the scenario of a seed into *trace*; return what tells it from every other course of events.

    Raises:
        AssertionError: Something that must hold did not; a note says how to play it again.
    """
    trace = [] if trace is None else trace
    try:
        with _repeatable(seed) as place:
            World(draw_scenario(seed, most_items), place, trace).play()
    except BaseException as error:
        error.add_note(f"Again: python -m tests.simulation --seed {seed} --items {most_items}")
        raise
    return hashlib.sha256("\n".join(trace).encode()).hexdigest()[:16]


@contextmanager
def _repeatable(seed: int) -> Iterator[Path]:
    """Give a folder, and see to it that what the library draws is the same every time."""
    state = random.getstate()
    random.seed(seed)
    shared = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    try:
        with tempfile.TemporaryDirectory(dir=shared, prefix="simulation") as folder:
            yield Path(folder)
    finally:
        random.setstate(state)


class _Listener(logging.Handler):
    def __init__(self, hear: Callable[[str], None]) -> None:
        super().__init__()
        self._hear = hear

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            self._hear(self.format(record))


@contextmanager
def _errors_heard(hear: Callable[[str], None]) -> Iterator[None]:
    """Pass on what the library logs as errors; no disk fails here, so each is a bug."""
    listener, log = _Listener(hear), logging.getLogger("hunyuan_async")
    log.addHandler(listener)
    try:
        yield
    finally:
        log.removeHandler(listener)
