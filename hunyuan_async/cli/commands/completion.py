"""`hunyuan completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from hunyuan_async.cli.app import hunyuan
from hunyuan_async.cli.exits import Exit


@click.command
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print a script that completes commands and options in SHELL.

    \b
    bash: hunyuan completion bash >> ~/.bashrc
    zsh:  hunyuan completion zsh >> ~/.zshrc
    fish: hunyuan completion fish > ~/.config/fish/completions/hunyuan.fish
    """
    script = get_completion_class(shell)
    assert script is not None
    click.echo(script(hunyuan, {}, "hunyuan", "_HUNYUAN_COMPLETE").source())
    return Exit.DONE
