"""The page about the command line, made from the help texts."""

from __future__ import annotations

from collections.abc import Iterator

import click

from hunyuan_async.cli.app import hunyuan

WIDTH = 90
INTRO = """\
# Command line

The extra `cli` brings it: `pip install '.[cli]'` in a clone.
`python -m hunyuan_async` is the same as `hunyuan`.

Results go to standard output, everything said goes to standard error.
The [exit code](errors.md#exit-codes) tells scripts how it ended.
How to use `batch` is told in [run a large batch](../how-to/run-a-batch.md).
This page is made from the help texts by `python -m docs`.
"""


def help_texts(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    """Each command's whole name and help text, sub-commands after their group."""
    context = click.Context(command, parent, name, terminal_width=WIDTH, **command.context_settings)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for sub_name in command.list_commands(context):
            if sub_command := command.get_command(context, sub_name):
                yield from help_texts(sub_command, sub_name, context)


def page() -> str:
    """The whole page."""
    return INTRO + "".join(f"\n## {name}\n\n```text\n{text}\n```\n" for name, text in help_texts(hunyuan, "hunyuan"))
