"""Plants bugs that would cost money, each into a copy of the package, and runs the tests that must notice.

``python tests/planted_bugs.py`` prints a table; it ends with 1 if a bug went unnoticed. It takes some minutes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import attrs

ROOT = Path(__file__).parent.parent
COPIED = ("hunyuan_async", "tests", "pyproject.toml", "README.md")
CRASH = "tests/shell/test_run_crash.py::test_a_run_may_die_at_any_instant"
RESUME = "tests/shell/test_run_resume.py"
MONEY = "tests/shell/test_engine_money.py"
SIMULATION = "tests/simulation/test_simulation.py::test_whatever_fails_nothing_paid_is_lost_or_repeated"


@attrs.frozen
class Bug:
    """A mistake that somebody might make.

    Attributes:
        name: What goes wrong.
        module: Where, below the package.
        right: The code as it is, which stands there once.
        wrong: The code as it must not be.
        test: What must fail then.
        simulated: Whether a scenario of the simulation must fail as well: a transport or a disk can show it.
    """

    name: str
    module: str
    right: str
    wrong: str
    test: str
    simulated: bool = True


BUGS = (
    Bug(
        "a POST is recorded after it was sent", "_sending.py", "await self._books.take(item, Step.SEND)", "pass", CRASH
    ),
    Bug("a 502 is sent again", "_core/retry.py", "case 421:", "case 421 | 502:", "tests/core/test_retry.py"),
    Bug(
        "a 5xx counts as a refusal",
        "_core/retry.py",
        "refused = 300 <= status < 500",
        "refused = 300 <= status < 600",
        "tests/core/test_retry.py",
    ),
    Bug(
        "redirects are followed",
        "_http/submit.py",
        "redirects=False",
        "redirects=True",
        "tests/e2e/test_http_submit.py",
        simulated=False,
    ),
    Bug("an image is named before it is safe", "_files.py", "os.fsync(self._file.fileno())", "pass", CRASH),
    Bug("an image's name is not safe", "_files.py", "        sync_directory(path.parent)\n", "", CRASH),
    Bug(
        "a submit that was put off stays recorded as sent",
        "_sending.py",
        "        if item.state is State.SENDING:\n            await self._books.take(item, Step.TAKE_BACK)",
        "        item.state = State.PLANNED",
        CRASH,
    ),
    Bug(
        "what was being sent is sent again",
        "_journal/file.py",
        "after = advance(State.SENDING, Step.LOSE_ANSWER)",
        "after = State.PLANNED",
        f"{RESUME}::test_each_item_goes_on_from_where_it_stood",
    ),
    Bug(
        "a task is looked at before its id is recorded",
        "_sending.py",
        "            await self._books.take(item, Step.ACCEPT)",
        "            item.state = State.SUBMITTED\n"
        "            recording = self._books.of(item).recorder.record(item, Step.ACCEPT)\n"
        "            self._loop.call_later(0.2, self._loop.create_task, recording)",
        f"{MONEY}::test_each_step_is_stored_before_anything_relies_on_it",
    ),
    Bug(
        "two processes work in one directory",
        "_journal/lock.py",
        "fcntl.LOCK_EX",
        "fcntl.LOCK_SH",
        f"{RESUME}::test_a_directory_is_not_opened_twice",
        simulated=False,
    ),
    Bug(
        "credits at risk are not counted",
        "_journal/reader.py",
        "sum(sums.get(state, 0) for state in AT_RISK)",
        "0",
        f"{RESUME}::test_a_limit_counts_what_earlier_processes_spent_and_risked",
    ),
    Bug(
        "images that come with the acceptance are not stored with it",
        "_sending.py",
        "item.completion = status",
        "pass",
        MONEY,
    ),
    Bug(
        "a submit that was cancelled before it left stays recorded as sent",
        "_journal/recorder.py",
        "            if step is Step.SEND:\n",
        "            if step is Step.SKIP:\n",
        "tests/shell/test_journal_thread.py",
        simulated=False,
    ),
    Bug(
        "who leaves does not wait for answers on their way",
        "_engine.py",
        "        if answers:\n",
        "        if answers and not ours:\n",
        "tests/shell/test_client_cancel.py::test_a_durable_run_cancelled_at_any_step_leaves_a_true_journal",
    ),
    Bug(
        "sending goes on after the disk has refused",
        "_journal/file.py",
        "                self._held_back = error\n",
        "                return [once_more(error) for _ in entries]\n",
        "tests/shell/test_run_disk_full.py",
        simulated=False,
    ),
    Bug("what is paid is not taken up again", "run.py", "(PAID, 0), ", "", RESUME),
    Bug(
        "a cancelled call drops the answer to its submit",
        "_engine.py",
        "if item.state is State.PLANNED and item not in self.sender.leaving:",
        "if item.state in (State.PLANNED, State.SENDING):",
        "tests/shell/test_client_cancel.py",
    ),
    Bug(
        "submits under way are not counted",
        "_core/budget.py",
        "self.spent + self.reserved + self.at_risk + credits <= self.limit",
        "self.spent + self.at_risk + credits <= self.limit",
        "tests/core/test_budget.py",
    ),
    Bug(
        "the id of an odd answer is thrown away",
        "_core/retry.py",
        "if answer and (answer.task_id or",
        "if answer and ((answer.task_id and seen.status == 200) or",
        "tests/core/test_retry.py",
    ),
    Bug(
        "half an answer is believed without a look",
        "_sending.py",
        "isinstance(verdict, Accepted) and not verdict.certain",
        "False",
        MONEY,
    ),
    Bug(
        "an unknown outcome keeps its slot",
        "_core/dispatch.py",
        "        self.slots.give_back()\n        ticket.budget.risk",
        "        ticket.budget.risk",
        MONEY,
    ),
)


def tested(copy: Path, *tests: str) -> bool:
    """Run tests in a copy; return whether they pass."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--no-header", *tests]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode not in {0, 1}:
        sys.exit(f"{' '.join(command)}\n{ended.stdout}{ended.stderr}")
    return ended.returncode == 0


def noticed_by(bug: Bug) -> Sequence[str]:
    """Name the tests that must notice *bug*."""
    return (bug.test, SIMULATION) if bug.simulated else (bug.test,)


def plant(copy: Path, bug: Bug) -> str:
    """Plant *bug* in a copy, see whether it is noticed, and pull it out again; return what the table says."""
    path = copy / "hunyuan_async" / bug.module
    text = path.read_text(encoding="utf-8")
    if text.count(bug.right) != 1:
        return "CANNOT BE PLANTED: its place has changed"
    path.write_text(text.replace(bug.right, bug.wrong), encoding="utf-8")
    try:
        return "UNNOTICED" if any(tested(copy, test) for test in noticed_by(bug)) else "noticed"
    finally:
        path.write_text(text, encoding="utf-8")


def main() -> int:
    """Plant every bug."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in COPIED:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
        if not tested(copy, *{test for bug in BUGS for test in noticed_by(bug)}):
            print("The tests fail without any bug planted.")  # noqa: T201
            return 1
        noticed = 0
        for bug in BUGS:
            since = time.monotonic()
            found = plant(copy, bug)
            noticed += found == "noticed"
            line = f"{found:10} {time.monotonic() - since:5.1f} s  {bug.name}: {' and '.join(noticed_by(bug))}"
            print(line, flush=True)  # noqa: T201
    print(f"{noticed} of {len(BUGS)} noticed")  # noqa: T201
    return noticed < len(BUGS)


if __name__ == "__main__":
    sys.exit(main())
