"""The `hunyuan` command: a table of sub-commands, each loaded only when it runs."""

from __future__ import annotations

import signal
import sys
from importlib import import_module

import click
from click.shell_completion import CompletionItem

from hunyuan_async import __version__

COMMANDS = {
    "generate": "Make one image and save it.",
    "edit": "Make an image from one or two others.",
    "batch": "Make an image for every row of a file.",
    "resume": "Go on with a run where it stopped.",
    "redo": "Make some images of a run again.",
    "status": "Show how a run stands, live or dead.",
    "results": "Print what came of every row, to go on with.",
    "report": "Write a run's report.html and results.jsonl again.",
    "unknown": "List what may have been charged, though no answer tells.",
    "resolve": "Say what became of such requests.",
    "log": "List the images you made one by one.",
    "task": "Look at a task, or fetch its image.",
    "key": "Store, check or locate the API key.",
    "doctor": "Check what can be wrong before anything is paid.",
    "studio": "Make images in your browser, or look through those of a run.",
    "export": "Copy the images of a run to share them.",
    "emulator": "Serve a stand-in for the service, free and without a key.",
    "completion": "Print a script that completes commands in your shell.",
}


class LazyGroup(click.Group):
    """Knows its commands by name and summary, and imports one when it is called: `--help` stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module and return the command of the same name."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"hunyuan_async.cli.commands.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the command and leave with the code that it returns; say of any error what it means."""
        try:
            code = super().invoke(ctx)
        except (click.exceptions.ClickException, click.exceptions.Exit, BrokenPipeError, ModuleNotFoundError):
            raise
        except (KeyboardInterrupt, click.Abort):
            code = 128 + signal.SIGINT
        except Exception as error:  # noqa: BLE001 - a bug is shown in full and told apart by its exit code
            from hunyuan_async.cli.exits import exit_code, explanation

            click.echo(f"hunyuan: {explanation(error)}", err=True)
            code = exit_code(error)
        sys.exit(code)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the names of commands without importing them, and options."""
        commands = [CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="hunyuan")
def hunyuan() -> None:
    """Make images with Hunyuan Image 3: one, or a file full of them.

    Try it without a key: hunyuan generate "a koi pond" --emulator
    """
