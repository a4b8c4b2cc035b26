"""README and docs tell the truth: their code runs, and what they list is what there is."""

from __future__ import annotations

import asyncio
import json
import os
import re
import runpy
import shlex
import sqlite3
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import get_args

import attrs
import click
import pytest
from aiohttp.test_utils import TestClient, TestServer

import hunyuan_async
from hunyuan_async import errors
from hunyuan_async._core.lifecycle import TRANSITIONS, State
from hunyuan_async._journal.schema import bring_up_to_date
from hunyuan_async.cli.app import hunyuan
from hunyuan_async.cli.exits import Exit
from hunyuan_async.cli.result_lines import ResultLine, Status
from hunyuan_async.cli.result_rows import COLUMNS
from hunyuan_async.client import Client
from hunyuan_async.emulator import Emulator, EmulatorSettings, Fault, fixed
from hunyuan_async.run import Run
from hunyuan_async.settings import Limits, Polling, Service, Timeouts

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(
    r'^```(?P<language>\w+)(?: title="(?P<title>[^"\n]+)")?\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL
)
DEFINED_TEST = re.compile(r"^(?:async )?def (test_\w+)\(", re.MULTILINE)


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@attrs.frozen
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    title: str | None
    text: str

    def __str__(self) -> str:
        return f"{_name(self.page)}:{self.line}"


def _blocks() -> list[Block]:
    found = []
    for page in PAGES:
        content = page.read_text()
        for fence in FENCE.finditer(content):
            line = content.count("\n", 0, fence.start()) + 1
            found.append(Block(page, line, fence["language"], fence["title"], fence["text"]))
    return found


BLOCKS = _blocks()
PROGRAMS = [block for block in BLOCKS if block.language == "python" and not block.title]
WEB_APPS = [block for block in PROGRAMS if "web.run_app" in block.text]
SCRIPTS = [block for block in PROGRAMS if block not in WEB_APPS]
TITLED = [block for block in BLOCKS if block.title]


@pytest.fixture
async def environment() -> AsyncIterator[Mapping[str, str]]:
    """What a reader's shell has set, with an emulator in place of the service."""
    settings = EmulatorSettings(latency=fixed(0.02), small_pictures=True)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    async with Emulator(settings=settings) as emulator:
        yield {
            **os.environ,
            "PATH": path,
            "HUNYUAN_BASE_URL": emulator.base_url,
            "HUNYUAN_API_KEY": emulator.api_key,
        }


async def _run(*command: str, folder: Path, environment: Mapping[str, str]) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


@pytest.mark.parametrize("block", SCRIPTS, ids=str)
async def test_a_python_block_is_a_program_that_runs(
    block: Block, environment: Mapping[str, str], tmp_path: Path
) -> None:
    """Every Python block runs as it stands, against the emulator and without a warning."""
    (tmp_path / "block.py").write_text(block.text)

    code, output, errors = await _run(
        sys.executable, "-W", "error", "block.py", folder=tmp_path, environment=environment
    )

    assert (code, errors) == (0, ""), output


@pytest.mark.parametrize("block", WEB_APPS, ids=str)
async def test_a_web_app_serves_an_image(
    block: Block, environment: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A web app of a page answers with an image, and tells whose fault it is if there is none."""
    (tmp_path / "app.py").write_text(block.text)
    monkeypatch.chdir(tmp_path)
    for name in ("HUNYUAN_BASE_URL", "HUNYUAN_API_KEY"):
        monkeypatch.setenv(name, environment[name])
    app = runpy.run_path("app.py")["app"]

    async with TestClient(TestServer(app)) as browser:
        image = await browser.get("/image", params={"prompt": "a fox"})
        refused = await browser.get("/image", params={"prompt": "a fox [refuse]"})
        failed = await browser.get("/image", params={"prompt": "a fox [fail]"})

        assert (image.status, image.content_type) == (200, "image/png")
        assert (refused.status, failed.status) == (400, 503)


@pytest.mark.parametrize("page", sorted({block.page for block in TITLED}), ids=_name)
async def test_the_files_of_a_page_pass_together(page: Path, environment: Mapping[str, str], tmp_path: Path) -> None:
    """Blocks with a file name are a test suite that passes."""
    for block in TITLED:
        if block.page == page and block.title:
            (tmp_path / block.title).write_text(block.text)

    code, output, errors = await _run(
        sys.executable, "-m", "pytest", "-q", "-W", "error", folder=tmp_path, environment=environment
    )

    assert (code, errors) == (0, ""), output


async def test_the_commands_of_the_tutorial_run(environment: Mapping[str, str], tmp_path: Path) -> None:
    """The tutorial's shell blocks run one after the other, without a key."""
    script = "".join(block.text for block in BLOCKS if block.language == "sh" and block.page.name == "tutorial.md")
    without_key = {name: value for name, value in environment.items() if not name.startswith("HUNYUAN_")}

    code, output, errors = await _run("bash", "-eu", "-c", script, folder=tmp_path, environment=without_key)

    assert code == 0, output + errors
    assert len(os.listdir(tmp_path / "first/images/0000")) == 3
    # Whatever the kill met, every image is there in the end; one more file may stem from before it.
    ends = [json.loads(line)["status"] for line in (tmp_path / "many/results.jsonl").read_text().splitlines()]
    assert ends == ["succeeded"] * 12
    assert sorted(os.listdir(tmp_path / "shop/images/0000")) == ["c1.png", "t1.png", "t2.png"]
    assert "koi.png" in os.listdir(tmp_path)


def _commands() -> list[str]:
    """Every call of the command line on the pages, in shell blocks and in running text."""
    in_blocks = [
        call
        for block in BLOCKS
        if block.language in {"sh", "console"}
        for call in re.findall(r"(?:^|[ /])hunyuan ([^&\n]+)", block.text, re.MULTILINE)
    ]
    in_text = [call for page in PAGES for call in re.findall(r"`hunyuan ([^`\n]+)`", FENCE.sub("", page.read_text()))]
    return sorted({*in_blocks, *in_text})


@pytest.mark.parametrize("call", _commands())
def test_a_command_on_a_page_exists_with_its_options(call: str) -> None:
    """Whoever copies a command from a page gets no usage error."""
    command: click.Command = hunyuan
    context = click.Context(hunyuan, **hunyuan.context_settings)
    arguments = shlex.split(call)
    while isinstance(command, click.Group):
        named = command.get_command(context, arguments.pop(0))
        assert named, call
        command, context = named, click.Context(named, context)

    command.make_parser(context).parse_args(arguments)


async def test_what_is_made_from_the_code_is_current(environment: Mapping[str, str]) -> None:
    """Every help text, every kind of fault, and the table that the fault matrix tests."""
    assert await _run(sys.executable, "-m", "docs", "--check", folder=ROOT, environment=environment) == (0, "", "")


def _section(page: str, heading: str) -> str:
    content = (DOCS / "reference" / page).read_text()
    return content.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def _rows(text: str) -> list[list[str]]:
    """The cells of every table row, without the code marks."""
    lines = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip(" `") for cell in line] for line in lines]


@pytest.mark.parametrize(
    ("page", "heading", "settings"),
    [
        ("settings.md", "Client", Client),
        ("settings.md", "Run", Run),
        ("settings.md", "Limits", Limits),
        ("settings.md", "Timeouts", Timeouts),
        ("settings.md", "Polling", Polling),
        ("settings.md", "Service", Service),
        ("emulator.md", "Settings", EmulatorSettings),
        ("emulator.md", "Faults", Fault),
    ],
)
def test_every_setting_is_listed_with_its_default(page: str, heading: str, settings: type[attrs.AttrsInstance]) -> None:
    """The tables of settings hold every field, in order, and its default where that is a plain value."""
    rows = _rows(_section(page, heading))
    fields = [field for field in attrs.fields(settings) if field.init and not field.name.startswith("_")]
    assert [row[0] for row in rows] == [field.name for field in fields]

    for (_, shown, *_), field in zip(rows, fields, strict=True):
        default = field.default
        match default:
            case (str() as only,):
                assert shown == only
            case None | bool() | int() | str():
                assert shown == str(default)
            case float() if default < float("inf"):
                assert shown == str(default)


def test_every_rule_of_security_names_its_tests() -> None:
    """A rule without a test is a hope; one whose test has another name now is not kept."""
    rules = (DOCS / "SECURITY.md").read_text().split("\n## Rules and their tests\n")[1].split("\n## ")[0]
    rows = [line.split(" | ") for line in rules.splitlines() if line.startswith("| ") and "Rule | Tests" not in line]
    known = {name for path in (ROOT / "tests").rglob("*.py") for name in DEFINED_TEST.findall(path.read_text())}

    assert len(rows) > 15
    for rule, tests in rows:
        named = re.findall(r"`(test_\w+)`", tests)
        assert named, rule
        assert known.issuperset(named), rule


def test_every_error_is_listed_as_it_is() -> None:
    """The table of errors holds every kind, and every class with what it says by default."""
    rows = {tuple(row[:4]) for row in _rows(_section("errors.md", "Kinds"))}
    classes = {
        error
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.HunyuanError) and error is not errors.HunyuanError
    }

    assert {kind for _, kind, _, _ in rows} == set(get_args(errors.Kind))
    assert {(e.__name__, e.default_kind, e.default_charged, e.default_retry) for e in classes} <= rows


def test_every_exit_code_is_listed() -> None:
    """The table of exit codes holds all of them and no other."""
    listed = re.findall(r"^\| (\d+)(?: \+ n)? \|", _section("errors.md", "Exit codes"), re.MULTILINE)

    assert [int(code) for code in listed] == [*Exit]


@pytest.mark.parametrize(
    ("heading", "names"),
    [("A line", [*ResultLine.__annotations__]), ("Statuses", [*get_args(Status)]), ("Rows", [*COLUMNS])],
)
def test_every_name_in_the_results_is_listed(heading: str, names: list[str]) -> None:
    """The page about results holds fields, statuses and columns, in order."""
    assert [row[0] for row in _rows(_section("results.md", heading))] == names


def test_every_state_and_step_of_the_journal_is_listed() -> None:
    """The page about the journal holds the states in order, and all transitions."""
    steps = {tuple(row[:3]) for row in _rows(_section("journal.md", "Steps"))}

    assert [row[0] for row in _rows(_section("journal.md", "States"))] == [state.value for state in State]
    assert steps == {
        (step.value, before.value, after.value) for before, ways in TRANSITIONS.items() for step, after in ways.items()
    }


@pytest.mark.parametrize("table", ["runs", "items"])
def test_every_column_of_the_journal_is_listed(table: str) -> None:
    """The page about the journal holds the columns of its tables, in order."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as journal:
        bring_up_to_date(journal, Path())
        columns = [row[1] for row in journal.execute(f"PRAGMA table_info({table})")]

    assert [row[0] for row in _rows(_section("journal.md", f"The table {table}"))] == columns


def test_every_public_name_is_in_the_api_page() -> None:
    """The API page shows every name that the package exports."""
    content = (DOCS / "reference/api.md").read_text()
    shown = set(re.findall(r"^::: hunyuan_async\.(\w+)$", content, re.MULTILINE))

    assert set(hunyuan_async.__all__) - {"__version__"} <= shown
    assert "`hunyuan_async.__version__`" in content


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file of ours, and to a heading in it, resolves."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text())):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.is_file() or (anchor and anchor not in _anchors(target)):
            broken.append(link)

    assert not broken
