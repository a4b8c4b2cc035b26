"""`hunyuan task`."""

from __future__ import annotations

import click

from hunyuan_async._core.text import printable
from hunyuan_async.cli.connection import Connection, connection_options, open_client
from hunyuan_async.cli.exits import Exit
from hunyuan_async.cli.single import Destination, destination_options
from hunyuan_async.cli.terminal import run, say
from hunyuan_async.models import TaskState


@click.command
@click.argument("task_id", metavar="ID")
@click.option("--wait", is_flag=True, help="Wait until it is finished, and save its image.")
@destination_options
@connection_options
def task(task_id: str, wait: bool, destination: Destination, connection: Connection) -> None:
    """Look at the task with this ID, or fetch its image. It costs nothing.

    \b
    hunyuan task n68xxxx_hunyuan3            prints running, completed or failed
    hunyuan task n68xxxx_hunyuan3 -o koi.png waits and saves the image
    """
    if wait or destination.output:
        run(_fetch(task_id, destination, connection))
    run(_look(task_id, connection))


async def _look(task_id: str, connection: Connection) -> int:
    async with open_client(connection) as client:
        status = await client.status(task_id)
    click.echo(status.state.value)
    if status.state is TaskState.FAILED:
        say(printable(status.message or "the service gives no reason"))
        return Exit.SOME_FAILED
    return Exit.DONE


async def _fetch(task_id: str, destination: Destination, connection: Connection) -> int:
    destination.check()
    async with open_client(connection) as client:
        await destination.save(client, await client.attach(task_id))
    return Exit.DONE
