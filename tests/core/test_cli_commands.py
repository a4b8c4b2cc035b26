"""What the commands refuse or answer before they reach for the network."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from hunyuan_async import __version__
from hunyuan_async.cli.app import COMMANDS, LazyGroup, hunyuan

NO_KEY = (
    "hunyuan: There is no API key. Set HUNYUAN_API_KEY, or HUNYUAN_API_KEY_FILE to a file that holds it, or run "
    "`hunyuan key set`. To try without a key, add --emulator.\n"
)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of the test's own, and nothing of the user's."""
    for name in [name for name in os.environ if name.startswith("HUNYUAN_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HUNYUAN_BASE_URL", "http://127.0.0.1:9/api/v1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, stdin: str | None = None) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(hunyuan, arguments, input=stdin)


def test_the_version_is_the_packages() -> None:
    """It stands in one place."""
    assert run("--version").output == f"hunyuan, version {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    """The table of commands names modules that exist, and no line is wider than 100 columns."""
    shown = run(command, "--help")
    assert (shown.exit_code, command in run("--help").output) == (0, True)
    assert max(map(len, shown.output.splitlines())) <= 100


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["generate", ""], "prompt has 0 characters"),
        (["generate", "koi", "--size", "1x1"], "256 to 1536"),
        (["generate", "koi", "-o", "."], "is a folder: name the file"),
        (["generate", "koi", "-o", "no/koi.png"], "there is no folder no: make it first"),
        (["generate", "koi", "-o", "there.txt"], "there.txt exists: choose another name, or add --force"),
        (["generate", "koi", "-o", "-", "--json"], "both want standard output"),
        (["generate", "koi", "--base-url", "http://127.0.0.1:9"], "leave --base-url out"),
        (["edit", "night", "--image", "koi.png"], "koi.png cannot be edited: No such file or directory"),
        (["edit", "night", "--image", "there.txt"], "there.txt cannot be edited: it is no image"),
        (["edit", "night", *["--image", "koi.png"] * 3], "an edit needs 1 to 2 images, got 3"),
        (["batch", "there.txt", "--out", "full"], "full already holds images of something else: choose another --out"),
        (["batch", "invalid.csv", "--out", "."], "is where this run's bad lines would go: choose another --out"),
        (["batch", "no.txt", "--out", "out"], "no.txt cannot be read: No such file or directory"),
        (["batch", "empty.txt", "--out", "out"], "the input holds no row"),
        (["batch", "-", "--out", "out"], "add --input-format"),
        (["batch", "there.txt", "--out", "out", "--rate", "fast"], "write 5/s or 20/m"),
        (["batch", "there.txt", "--out", "out", "--max-cost", "lots"], "write 25usd"),
        (["batch", "there.txt", "--out", "out", "--prompt", "{title}"], "there is no 'title' here; there are: prompt"),
        (["batch", "there.txt", "--out", "out", "--name", "../{id}"], "only a to z"),
    ],
)
def test_what_cannot_be_right_costs_nothing(place: Path, arguments: list[str], says: str) -> None:
    """It is refused with exit code 2 and a word on what to do, before anything is made."""
    (place / "there.txt").write_text("a koi\n")
    (place / "empty.txt").write_text("# nothing\n\n")
    (place / "full").mkdir()
    (place / "full" / "results.jsonl").touch()
    before = sorted(place.rglob("*"))
    refused = run(*arguments, "--emulator")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert says in refused.stderr
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize(
    "arguments", [["generate", "koi"], ["task", "n1"], ["key", "check"], ["batch", "koi.txt", "--out", "out"]]
)
def test_without_a_key_all_its_places_are_named(place: Path, arguments: list[str]) -> None:
    """And the way to do without one; nothing is made."""
    (place / "koi.txt").write_text("a koi\n")
    refused = run(*arguments)
    assert (refused.exit_code, refused.stdout) == (4, "")
    assert refused.stderr.endswith(NO_KEY)
    assert os.listdir(place) == ["koi.txt"]


def test_a_directory_that_cannot_be_made_is_told_as_it_is(place: Path) -> None:
    """The first trouble is told, not one that comes of tidying up after it."""
    (place / "koi.txt").write_text("a koi\n")
    (place / "out").symlink_to("nowhere")
    refused = run("batch", "koi.txt", "--out", "out", "--emulator")
    assert refused.exit_code == 5
    assert "File exists" in refused.stderr


def test_a_dry_run_needs_no_key_and_makes_nothing(place: Path) -> None:
    """It shows the plan: rows and images, prompts, cost, time and disk."""
    (place / "shop.csv").write_text('sku;title\n1;"a\nkoi"\n2;b\n2;b\n')
    options = ["--prompt", "photo of {title}", "--id-column", "sku", "--variations", "3", "--max-credits", "100"]
    shown = run("batch", "shop.csv", "--out", "out", *options, "--dry-run", "--in-flight", "2")
    assert (shown.exit_code, shown.stdout) == (0, "")
    for told in (
        "2 -> 6 images",
        "1. photo of a koi",
        "150 credits, about $0.30 (settings, not a quote)",
        "about 30 s",
        " free",
        "2. photo of b",
        "3 more would repeat others exactly: left out (--duplicates make buys them)",
        "The limit of 100 credits covers 4 of them",
    ):
        assert told in shown.stderr
    assert "2 -> 4 images" in run("batch", "shop.csv", "--out", "out", *options, "--dry-run", "--limit", "4").stderr
    assert "-> 2 images" in run("batch", "shop.csv", "--out", "out", *options, "--dry-run", "--sample", "2").stderr
    assert os.listdir(place) == ["shop.csv"]


def test_the_key_is_stored_for_its_owner_alone(place: Path) -> None:
    """It is read unseen, and from then on found."""
    stored = run("key", "set", stdin="aio_secret_1234\n")
    file = Path(run("key", "path").stdout.strip())
    assert (stored.exit_code, stored.stdout, stored.stderr) == (0, "", f"Stored in {file}\n")
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("aio_secret_1234\n", 0o600)
    asked = run("key", "check")
    assert (asked.exit_code, asked.stdout) == (7, "")
    assert asked.stderr.startswith(f"The key ends in 1234 and comes from the config file {file}.\n")
    assert run("key", "set", stdin="short\n").exit_code == 2
    assert os.listdir(file.parent) == [file.name]


@pytest.mark.parametrize(
    ("options", "says"),
    [(["--speed", "0"], "speed"), (["--host", "0.0.0.0"], "--allow-remote"), (["--host", "koi"], "'koi'")],  # noqa: S104
)
def test_the_emulator_says_what_it_cannot_do(options: list[str], says: str) -> None:
    """A wrong setting is no bug of ours."""
    refused = run("emulator", "--port", "0", *options)
    assert refused.exit_code == 2
    assert says in refused.stderr


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (KeyError("koi"), 70, "KeyError: 'koi'\nThis is a bug of ours; please report the lines above.\n"),
        (PermissionError(13, "Permission denied", "out"), 5, "hunyuan: out could not be used: Permission denied\n"),
        (KeyboardInterrupt(), 130, ""),
        (click.Abort(), 130, ""),
    ],
)
def test_what_nobody_expected_has_a_code_too(error: BaseException, code: int, says: str) -> None:
    """A bug is told apart from a failed run; leaving at a question is no failure."""

    class OneCommand(LazyGroup):
        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
            def fail() -> None:
                raise error

            return click.Command(cmd_name, callback=fail)

    ended = CliRunner().invoke(OneCommand("hunyuan"), ["any"])
    assert (ended.exit_code, ended.stderr.endswith(says)) == (code, True)
