"""The live panel: one for the whole run, redrawn a few times a second."""

from __future__ import annotations

import math

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hunyuan_async._core.text import printable
from hunyuan_async.cli.plan import duration_text
from hunyuan_async.cli.progress import PANEL_EVERY, Snapshot
from hunyuan_async.events import Event


class LivePanel:
    """Draws the run on stderr; nothing is told by colour alone."""

    every = PANEL_EVERY

    def __init__(self, console: Console | None = None) -> None:
        self._live = Live(console=console or Console(stderr=True), auto_refresh=False, redirect_stdout=False)
        self._live.start()

    def show(self, snapshot: Snapshot) -> None:
        """Redraw."""
        self._live.update(render(snapshot), refresh=True)

    def happened(self, event: Event) -> None:
        """Do nothing: the next snapshot shows it."""

    def close(self) -> None:
        """Leave the last picture standing."""
        self._live.stop()


def render(snapshot: Snapshot) -> Panel:
    """Return the picture of a snapshot; every text from outside is plain."""
    seen = snapshot.statistics
    counts = Table.grid(padding=(0, 3))
    counts.add_row(
        f"done {seen.succeeded:,}",
        f"failed {seen.failed:,}",
        f"unknown {seen.unknown:,}",
        f"in flight {seen.in_flight:,} of {seen.slots:,}",
    )
    speed = "-" if snapshot.per_minute is None else f"{snapshot.per_minute:.0f}"
    eta = "-" if snapshot.eta is None else duration_text(snapshot.eta)
    rate = "no limit" if math.isinf(seen.rate) else f"{seen.rate:.3g}/s"
    lines = Group(
        _bar(snapshot),
        counts,
        Text(f"{speed} images/min   to go {eta}   requests {rate}, limited {seen.limited:,} times"),
        Text(
            f"credits {seen.credits_spent:,} spent, {seen.credits_reserved:,} reserved, {seen.credits_at_risk:,} at risk"
        ),
        Text(snapshot.note or (f"waiting: {printable(seen.waiting_for)}" if seen.waiting_for else "sending")),
    )
    return Panel(lines, title=Text(printable(snapshot.title, 70)), title_align="left")


def _bar(snapshot: Snapshot) -> Table:
    bar = Table.grid(padding=(0, 1), expand=True)
    bar.add_column(ratio=1)
    bar.add_column(justify="right")
    bar.add_row(
        ProgressBar(total=max(1, snapshot.total), completed=snapshot.ended), f"{snapshot.ended:,} of {snapshot.total:,}"
    )
    return bar
