"""The live panel: one for the whole run, redrawn a few times a second."""

from __future__ import annotations

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hunyuan_async._core.text import printable
from hunyuan_async.cli.progress import Snapshot, View


class LivePanel(View):
    """Draws the run on stderr; nothing is told by colour alone.

    Args:
        transient: Whether it disappears in the end.
    """

    every = 0.25

    def __init__(self, *, transient: bool = False) -> None:
        console = Console(stderr=True)
        self._live = Live(console=console, auto_refresh=False, redirect_stdout=False, transient=transient)

    def show(self, snapshot: Snapshot) -> None:
        """Redraw."""
        self._live.start()
        # Two columns stay free for the "^C" that a terminal echoes: it must not start a new line.
        self._live.update(render(snapshot, self._live.console.width - 2), refresh=True)

    def close(self) -> None:
        """Leave the last picture standing, or none."""
        self._live.stop()


def render(snapshot: Snapshot, width: int) -> Panel:
    """Return the picture of a snapshot; every text from outside is plain."""
    bar = Table.grid(padding=(0, 1), expand=True)
    bar.add_column(ratio=1)
    bar.add_column(justify="right")
    bar.add_row(
        ProgressBar(total=max(1, snapshot.total), completed=snapshot.ended), f"{snapshot.ended:,} of {snapshot.total:,}"
    )
    lines = snapshot.counts, snapshot.speed, snapshot.learned, snapshot.held, snapshot.money, snapshot.activity
    texts = (Text(printable(line, 300)) for line in lines)
    return Panel(Group(bar, *texts), title=Text(printable(snapshot.title, 70)), title_align="left", width=width)
