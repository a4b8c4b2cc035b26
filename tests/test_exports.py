"""The names that users import, and what importing them costs."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import hunyuan_async

PACKAGE = Path(hunyuan_async.__file__).parent


def names_for_type_checkers() -> dict[str, str]:
    """Every name that the package's TYPE_CHECKING block imports, and from where."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    return {
        alias.name: node.module or ""
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname is None
    }


def test_type_checkers_see_what_programs_get() -> None:
    """The two lists of public names are one, and short."""
    assert {*names_for_type_checkers(), "__version__"} == set(hunyuan_async.__all__)
    assert len(hunyuan_async.__all__) == len(set(hunyuan_async.__all__)) <= 33
    assert dir(hunyuan_async) == sorted(hunyuan_async.__all__)


@pytest.mark.parametrize(("name", "home"), names_for_type_checkers().items())
def test_every_public_name_can_be_had(name: str, home: str) -> None:
    """It is the very object of the module that type checkers look at."""
    assert getattr(hunyuan_async, name) is getattr(importlib.import_module(home), name)


def test_other_names_are_missing_as_usual() -> None:
    """A typing mistake says what it is."""
    with pytest.raises(AttributeError, match=r"^module 'hunyuan_async' has no attribute 'Klient'$"):
        hunyuan_async.Klient  # noqa: B018


@pytest.mark.parametrize(
    "program",
    [
        "import hunyuan_async",
        "from hunyuan_async import Client; Client()",
        "from hunyuan_async import Client, ImageRequest, HunyuanError, OutcomeStream; ImageRequest('a fox')",
    ],
)
def test_importing_is_cheap(program: str) -> None:
    """What only a request needs is not loaded before there is one."""
    check = "import sys; print(*sorted({'aiohttp', 'cattrs', 'yarl', 'PIL', 'rich'} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", f"{program}; {check}"], capture_output=True, text=True, check=True)

    assert done.stdout.split() == []


def test_type_checkers_may_trust_the_package() -> None:
    """PEP 561 asks for a marker file."""
    assert (PACKAGE / "py.typed").is_file()
