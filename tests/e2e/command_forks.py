"""A program for the tests: starts `hunyuan` again and again without loading it anew.

For each line of its input, a JSON list of arguments, it forks a process that runs that command, says its process id,
and when it has ended, how: its exit code, or the signal's number below zero.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module

from hunyuan_async.__main__ import main
from hunyuan_async.cli.app import COMMANDS


def serve() -> None:
    """Run commands one after the other."""
    for command in COMMANDS:
        import_module(f"hunyuan_async.cli.commands.{command}")
    import_module("hunyuan_async._assembly")  # what a client loads at its first use
    for line in sys.stdin:
        process = os.fork()
        if not process:
            sys.argv[1:] = json.loads(line)
            os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
            main()
        print(process, flush=True)  # noqa: T201 - this is how the test is told
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


if __name__ == "__main__":
    serve()
