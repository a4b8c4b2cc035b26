"""How the command line starts, and what it needs for that."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BLOCK = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
sys.argv = ["hunyuan", *{arguments!r}]
from hunyuan_async.__main__ import main
main()
"""


@pytest.mark.parametrize(("missing", "arguments"), [("click", ["--help"]), ("platformdirs", ["key", "path"])])
def test_without_the_extra_it_says_what_to_install(missing: str, arguments: list[str]) -> None:
    """The command is quoted, so that zsh takes it."""
    code = BLOCK.format(missing=missing, arguments=arguments)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr == (f"The command line needs {missing}. Install it with: pip install 'hunyuan-async[cli]'\n")


def test_help_loads_hardly_anything() -> None:
    """It is there within 150 ms of bare Python because it knows the commands by name alone."""
    code = """
import sys
from hunyuan_async.__main__ import main
sys.argv = ["hunyuan", "--help"]
try:
    main()
finally:
    print(sorted({"aiohttp", "attrs", "cattrs", "anyio", "rich", "PIL", "platformdirs"} & sys.modules.keys()))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "generate" in ended.stdout
    assert ended.stdout.endswith("\n[]\n")


def test_the_shell_completes_commands_and_options(tmp_path: Path) -> None:
    """The script that `hunyuan completion` prints asks in this way."""

    def completions(words: str, number: int) -> list[str]:
        asking = {"_HUNYUAN_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(number)}
        command = [sys.executable, "-m", "hunyuan_async"]
        ended = subprocess.run(command, env=os.environ | asking, capture_output=True, text=True, check=True)
        return ended.stdout.split()

    assert completions("hunyuan b", 1) == ["plain,batch"]
    assert completions("hunyuan batch --pro", 2) == ["plain,--prompt", "plain,--progress"]
