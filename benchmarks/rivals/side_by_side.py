"""All parties under the same request limit, with the same tasks."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor

import attrs

from benchmarks.report import print_table
from benchmarks.rivals.parties import PARTIES, Job
from benchmarks.rivals.party import Work, run
from benchmarks.rivals.stub import Log, Setting, serving

CUT_OFF = 300.0  # seconds
HEAD = (
    "",
    "made",
    "images a minute",
    "of ours",
    "notice delay, s",
    "GETs a task",
    "429s",
    "CPU an image, ms",
    "peak MiB",
    "longest block, CPU ms",
    "paid, image lost",
    "paid again",
)


@attrs.frozen
class Round:
    """A number of prompts, and the service that they are put to.

    Attributes:
        prompts: How many.
        setting: The service, whatever it speaks.
        gap: Seconds between two looks of the hand-written party.
        parties: Who takes part.
    """

    prompts: int
    setting: Setting
    gap: float = 2.0
    parties: Sequence[str] = tuple(PARTIES)

    @property
    def title(self) -> str:
        """What the table is called."""
        limit = f"{self.setting.rate:g} requests a second, bursts of {self.setting.burst}"
        return f"{self.prompts:,} prompts, {limit}, tasks of {self.setting.least:g} to {self.setting.most:g} s"


USUAL = Setting(rate=10.0, burst=20)
QUICK = Setting(rate=90.0, burst=90, least=0.5, most=1.5)
HUNDRED = Round(100, USUAL)
THOUSAND = Round(1000, attrs.evolve(USUAL, rate=20.0))
TEN_THOUSAND = Round(10_000, QUICK, gap=0.2, parties=("ours", "ours-told", "hand-written"))


@attrs.frozen(eq=False)
class Result:
    """How a party did.

    Attributes:
        party: Its name in `PARTIES`.
        prompts: How many it had.
        work: What it tells.
        log: What the service tells.
    """

    party: str
    prompts: int
    work: Work
    log: Log

    @property
    def title(self) -> str:
        """Its name in tables."""
        return PARTIES[self.party].title

    @property
    def plain_title(self) -> str:
        """Its name where there is no Markdown."""
        return self.title.replace("`", "")

    @property
    def finished(self) -> bool:
        """Whether all images were made before the cut-off."""
        return self.work.made == self.prompts

    @property
    def per_minute(self) -> float | None:
        """Images a minute; None if it gave some up, which makes it no faster."""
        return None if self.work.failed else self.work.made / self.work.seconds * 60

    @property
    def gets(self) -> float:
        """Looks at each accepted task, refused ones included."""
        return self.log.gets / max(1, self.log.accepted.total())

    def row(self, ours: Result) -> Iterator[object]:
        """Give its line of the table, beside *ours*."""
        work, log = self.work, self.log
        yield self.title
        yield self._made()
        yield self.per_minute or "-"
        yield self.per_minute / ours.per_minute if self.per_minute and ours.per_minute else "-"
        yield statistics.fmean(log.delays) if log.delays else "-"
        yield self.gets
        yield f"{log.limited / max(1, len(log.arrivals)):.1%}"
        yield work.cpu / work.made * 1e3 if work.made else "-"
        yield work.peak / 2**20
        yield work.block * 1e3
        yield sum(prompt in log.accepted for prompt in work.failed)
        yield log.accepted.total() - len(log.accepted)

    def _made(self) -> str:
        if self.work.failed:
            return f"{self.work.made:,}, {len(self.work.failed):,} failed"
        return f"{self.work.made:,}" if self.finished else f"did not finish: {self.work.made:,}"


def measure(party: str, asked: Round) -> Result:
    """Let a party work, against a service of its own."""
    setting = attrs.evolve(asked.setting, dialect=PARTIES[party].dialect)
    assert setting.rate
    with serving(setting) as stub:
        work = run(Job(party, stub.address, asked.prompts, CUT_OFF, setting.rate, asked.gap))
        return Result(party, asked.prompts, work, stub.stop())


def compare(lanes: Executor, rounds: Iterable[Round]) -> dict[Round, list[Result]]:
    """Run all, as many at a time as there are *lanes*, and print a table for each round."""
    waiting = {asked: [lanes.submit(measure, party, asked) for party in asked.parties] for asked in rounds}
    results = {}
    for asked, futures in waiting.items():
        results[asked] = [future.result() for future in futures]
        print_table(asked.title, HEAD, [tuple(result.row(results[asked][0])) for result in results[asked]])
        for result in results[asked]:
            for error, count in result.work.errors.items():
                print(f"\n{result.title}: {count:,} times `{error}`")
    return results
