"""What `batch`, `resume` and `redo` have in common: plan, question, run, and what is said at the end."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections import Counter
from pathlib import Path

import attrs
import click

from hunyuan_async._core.lifecycle import PAID, Item
from hunyuan_async._core.text import printable
from hunyuan_async._journal.file import JournalFile
from hunyuan_async._journal.planning import Planning
from hunyuan_async._journal.resuming import fingerprint_of, pin, settle
from hunyuan_async._keys import BASE_URL_VARIABLE
from hunyuan_async.cli.batch_options import Conduct, Resumption
from hunyuan_async.cli.batch_run import BatchRun
from hunyuan_async.cli.connection import Connection, open_client, required_key
from hunyuan_async.cli.directories import open_run
from hunyuan_async.cli.exits import Exit
from hunyuan_async.cli.failures import FailureGuard
from hunyuan_async.cli.plan import make_plan
from hunyuan_async.cli.progress import Progress
from hunyuan_async.cli.report import PER_PAGE, build_report
from hunyuan_async.cli.result_lines import STATUS, Status
from hunyuan_async.cli.results import write_results
from hunyuan_async.cli.retrying import replace_emulated, retry
from hunyuan_async.cli.run_settings import RunSettings
from hunyuan_async.cli.status import look
from hunyuan_async.cli.summary import summary, unrecorded
from hunyuan_async.cli.terminal import run, say
from hunyuan_async.cli.views import open_view
from hunyuan_async.errors import HunyuanError, InvalidRequest, JournalError
from hunyuan_async.run import Run
from hunyuan_async.settings import API_IN_ONE, Timeouts

ASK_ABOVE = 100  # images
GIVE_UP = 7200.0  # seconds


@attrs.frozen
class Order:
    """What a command is about to carry out in a run's directory.

    Attributes:
        out_dir: The run's directory.
        settings: Whom to talk to, and how far to go.
        resumption: How what was left is taken up.
        conduct: Whether to ask, and what to show.
        planned_after: Only what was planned after this item is sent.
        address_stored: Whether the run's journal names the service's address, and not this command.
    """

    out_dir: Path
    settings: RunSettings
    resumption: Resumption
    conduct: Conduct
    planned_after: int = 0
    address_stored: bool = False

    def agree(self, file: JournalFile, planning: Planning, rows: int | None = None) -> bool:
        """Show what will be made, and ask; return whether it is to be carried out.

        Raises:
            AuthError, InvalidRequest: There is no key, the options contradict each other, the run is another service's
                or account's, or the answer is no.
        """
        self._plan_again(file, planning, from_input=rows is not None)
        images = self._show(file, planning.run, rows)
        if self.conduct.dry_run:
            return False
        self._check_account(file, planning.run)
        is_asked = images > ASK_ABOVE and not self.conduct.yes and sys.stdin.isatty() and sys.stderr.isatty()
        if is_asked and not click.confirm("Go on?", err=True):
            raise InvalidRequest("nothing was sent")
        return True

    def _show(self, file: JournalFile, run: str, rows: int | None) -> int:
        """Show what will be made, fetched and spent; return how many images are to be made."""
        limits = self.settings.connection.limits(self.settings.bounds.rate, self.settings.bounds.in_flight)
        folder = next(folder for folder in (self.out_dir, *self.out_dir.absolute().parents) if folder.exists())
        plan = make_plan(
            file,
            run,
            API_IN_ONE,
            rows=rows,
            rate=limits.rate,
            in_flight=limits.in_flight,
            bytes_free=shutil.disk_usage(folder).free,
            after=self.planned_after,
        )
        for line in plan.lines():
            say(line)
        states = file.totals(run)
        if to_fetch := sum(states.get(state, 0) for state in PAID):
            say(f"{to_fetch:,} more are paid and are fetched for nothing")
        budget, used = self.settings.bounds.budget, sum(file.credits(run))
        if budget is not None and budget < used + plan.credits:
            covered = max(0, budget - used) // API_IN_ONE.credits_per_image
            say(f"The limit of {budget:,} credits covers {covered:,} of them")
        return plan.images

    def _check_account(self, file: JournalFile, run: str) -> None:
        """Check key and address before anything of what this command wants is kept."""
        connection, record = self.settings.connection, file.run(run)
        connection.check()
        if record and not connection.emulator:
            key = required_key().key
            pin(record, self.out_dir, connection.address, key, False, self.resumption.key_changed)
            is_known = connection.address == Connection().address or record.key_fingerprint == fingerprint_of(
                record, key
            )
            if self.address_stored and not is_known:
                # Whoever made the directory could else have any key sent to themselves.
                raise InvalidRequest(
                    f"{self.out_dir} says that the service is at {printable(connection.address)}, and this key was "
                    f"never used with it there. If that is right, set {BASE_URL_VARIABLE} to it."
                )

    def _plan_again(self, file: JournalFile, planning: Planning, *, from_input: bool) -> None:
        wanted = self.resumption
        if self.settings.connection.emulator:
            replace_emulated(file, planning)
        if wanted.retry_failed or wanted.retry:
            retry(file, planning, lambda item: self._is_retried(item) and (not from_input or planning.was_asked(item)))
        settle(file, planning, self.settings.bounds.on_unknown or "hold")

    def _is_retried(self, item: Item) -> bool:
        wanted, error = self.resumption, item.error
        return bool(error and (error.kind in wanted.retry or (wanted.retry_failed and error.retry == "same")))

    def carry_out(self) -> int:
        """Make what is planned, write results and report, and say how it ended; return the exit code."""
        bounds, connection = self.settings.bounds, self.settings.connection
        progress = self._progress()
        batch_run = BatchRun(FailureGuard(bounds.max_failures), progress, open_view(self.conduct.progress))
        run(self._make(batch_run), batch_run.interrupted)
        code = Exit.DISK
        try:
            report = self._write_views(batch_run)
            with open_run(self.out_dir) as (reader, record):
                standing = look(reader, record.run)
                batch_run.unrecorded = [task_id for task_id in batch_run.unrecorded if not reader.find(task_id)]
            lines = summary(batch_run, standing, self.out_dir, report=report, collectable=not connection.emulator)
            code = standing.exit_code()
        except (InvalidRequest, JournalError) as error:  # the journal was taken away, or cannot be read
            batch_run.failed(error)
            lines = [batch_run.reason, *unrecorded(batch_run)]
        for line in lines:
            say(line)
        return batch_run.stop.code if batch_run.stop else code

    async def _make(self, batch_run: BatchRun) -> int:
        bounds, connection = self.settings.bounds, self.settings.connection
        try:
            async with (
                open_client(
                    connection,
                    limits=connection.limits(bounds.rate, bounds.in_flight),
                    timeouts=Timeouts(trouble=bounds.give_up or GIVE_UP),
                    on_event=batch_run.happened,
                ) as client,
                Run(
                    self.out_dir,
                    client=client,
                    max_credits=bounds.budget,
                    on_unknown=bounds.on_unknown or "hold",
                    key_changed=self.resumption.key_changed or connection.emulator,
                    base_url_changed=connection.emulator,
                    verify=self.resumption.verify,
                    path=self.settings.file_names.path,
                    planned_after=self.planned_after,
                ) as under_way,
            ):
                await batch_run.carry_out(under_way)
        except InvalidRequest:
            raise
        except HunyuanError as error:
            batch_run.failed(error)
        return Exit.DONE

    def _progress(self) -> Progress:
        with open_run(self.out_dir) as (reader, record):
            totals = reader.totals(record.run)
            to_send, _ = reader.waiting(record.run, self.planned_after)
        ends = Counter[Status]()
        for state, count in totals.items():
            ends[STATUS[state]] += count
        to_collect = ends.pop("submitted", 0)
        ends.pop("pending", None)
        ends.pop("skipped", None)
        title = self.settings.connection.title(str(self.out_dir))
        return Progress(title, ends.total() + to_collect + to_send, ends=ends)

    def _write_views(self, batch_run: BatchRun) -> str:
        """Write results and report; return where the report is, or what writes it if it could not be written."""
        with batch_run.disk_trouble_noted():
            with open_run(self.out_dir) as (reader, record):
                write_results(reader, record.run, self.out_dir, API_IN_ONE)
                if sum(reader.totals(record.run).values()) > PER_PAGE:
                    say("Writing the report; Ctrl-C leaves it out.")
            try:
                return str(build_report(self.out_dir))
            except KeyboardInterrupt:
                say("left out")
        return f"hunyuan report {shlex.quote(str(self.out_dir))}"
