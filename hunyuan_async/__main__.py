"""Starts the command line: `hunyuan` and `python -m hunyuan_async`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, or say how to install it."""
    try:
        from hunyuan_async.cli.app import hunyuan

        hunyuan(prog_name="hunyuan")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"click", "rich", "platformdirs", "PIL"}:
            raise
        sys.exit(f"The command line needs {error.name}. Install it with: pip install 'hunyuan-async[cli]'")


if __name__ == "__main__":
    main()
