"""Who may import whom: the floors of the house."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import hunyuan_async

PACKAGE = Path(hunyuan_async.__file__).parent
ROOT = "hunyuan_async"

# Floor by floor, from the bottom; each name is a module or a package of the library. The root holds the version and
# loads its public names at first use, so it stands at the bottom.
FLOORS = (
    {ROOT, "errors", "models", "settings", "events"},
    {"_core"},
    {
        "transport",
        "_http",
        "_dispatcher",
        "_files",
        "_intake",
        "_journal",
        "_keys",
        "_poller",
        "_recorder",
        "_targets",
        "_tally",
        "_uncancelled",
    },
    {"_engine", "_saving", "_sending", "_assembly"},
    {"client", "run", "store", "streams", "tasks", "uploads", "_opening", "_store"},
    {"__main__", "cli", "emulator", "integrations", "studio", "testing"},
)
# The only imports within a floor, but for those within one package; each module of `_core` counts by itself.
NEIGHBOURS = {
    "errors": {"models"},
    "events": {"errors", "models"},
    "settings": {"errors"},
    "_core.dispatch": {
        "_core.breaker",
        "_core.budget",
        "_core.latency",
        "_core.polling",
        "_core.pacing",
        "_core.retry",
        "_core.slots",
        "_core.turns",
    },
    "_core.endings": {"_core.lifecycle"},
    "_core.fetching": {"_core.replies"},
    "_core.pacing": {"_core.limit"},
    "_core.polling": {"_core.latency"},
    "_core.requests": {"_core.image_urls", "_core.text"},
    "_core.retry": {"_core.replies", "_core.text", "_core.wire"},
    "_core.watch": {"_core.replies", "_core.retry", "_core.wire"},
    "_core.uploading": {"_core.image_urls", "_core.text"},
    "_core.wire": {"_core.image_urls", "_core.text"},
    "_http": {"transport"},
    "_intake": {"_journal"},
    "_journal": {"_tally", "_uncancelled"},
    "_poller": {"transport"},
    "_assembly": {"_engine"},
    "_engine": {"_saving", "_sending"},
    "client": {"streams", "tasks"},
    "run": {"_opening", "client", "streams"},
    "store": {"_opening", "_store", "client"},
    "_store": {"_opening"},
    "streams": {"tasks"},
    "__main__": {"cli"},
    "testing": {"emulator"},
    "cli": {"emulator", "studio"},
    "studio": {"cli", "integrations"},
}
SERVERS = {"emulator", "integrations", "studio"}
IMPURE = {"aiohttp", "anyio", "asyncio", "logging", "os", "random", "secrets", "socket", "threading", "time"}
CLOCKS = {"monotonic", "now", "today", "utcnow"}


def name_of(path: Path) -> str:
    """The dotted name of a module of the package."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TREES = {name_of(path): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}


def run_time_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node, functions' insides included, but not what only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            yield from (inner for kept in node.orelse for inner in (kept, *run_time_nodes(kept)))
        else:
            yield node
            yield from run_time_nodes(node)


def imports(module: str) -> set[str]:
    """The dotted names that a module imports, at its top or in a function."""
    found: set[str] = set()
    for node in run_time_nodes(TREES[module]):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{module} has a relative import"
            assert not node.level, f"{module} has a relative import"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found.update(name if name in TREES or node.module == "aiohttp" else node.module for name in inner)
    return found


def ours(module: str) -> set[str]:
    """The modules of the package that a module imports."""
    return {name for name in imports(module) if name in TREES}


def place(module: str) -> str:
    """The name by which the tables know a module."""
    _, *parts = module.split(".")
    if not parts:
        return ROOT
    return ".".join(parts[:2]) if parts[0] == "_core" else parts[0]


def floor(module: str) -> int:
    """The floor on which a module lives."""
    room = place(module).partition(".")[0]
    (level,) = [level for level, rooms in enumerate(FLOORS) if room in rooms]
    return level


def neighbours() -> set[tuple[str, str]]:
    """Every import between two places of one floor."""
    pairs = {(module, name) for module in TREES for name in ours(module) if floor(module) == floor(name)}
    return {(place(module), place(name)) for module, name in pairs if place(module) != place(name)}


@pytest.mark.parametrize("module", TREES)
def test_imports_go_down(module: str) -> None:
    """Every module lives on a floor, and imports from there or below."""
    highest = floor(module)

    assert {name for name in ours(module) if floor(name) > highest} == set()


def test_imports_within_a_floor_are_few_and_known() -> None:
    """A new one needs a good reason and a line in the table."""
    allowed = {(importer, name) for importer, names in NEIGHBOURS.items() for name in names}

    assert neighbours() - allowed == set()
    assert allowed - neighbours() == set()


def test_no_import_goes_in_circles() -> None:
    """Not even through a function."""
    TopologicalSorter({module: ours(module) for module in TREES}).prepare()


@pytest.mark.parametrize("module", [module for module in TREES if place(module) not in {"_http", *SERVERS}])
def test_only_one_package_talks_http(module: str) -> None:
    """The client of aiohttp stays in `_http`, so that none of its errors gets out."""
    assert {name for name in imports(module) if name.split(".")[0] in {"aiohttp", "yarl"}} == set()


@pytest.mark.parametrize("module", [module for module in TREES if place(module) in SERVERS])
def test_servers_do_not_ask(module: str) -> None:
    """They import that half of aiohttp alone which serves."""
    assert {name for name in imports(module) if name.startswith("aiohttp")} <= {"aiohttp.web"}


@pytest.mark.parametrize("module", [module for module in TREES if place(module) == "emulator"])
def test_the_emulator_stands_apart(module: str) -> None:
    """It reads nothing with the readers that it is there to test."""
    assert {place(name) for name in ours(module)} <= {"emulator"}


@pytest.mark.parametrize("module", [module for module in TREES if place(module).startswith("_core")])
def test_decisions_are_pure(module: str) -> None:
    """They wait for nothing, and time and chance are told to them."""
    nodes = [*run_time_nodes(TREES[module])]

    assert {name.split(".")[0] for name in imports(module)} & IMPURE == set()
    assert not [
        node for node in nodes if isinstance(node, ast.Await | ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith)
    ]
    assert not [node for node in nodes if isinstance(node, ast.Attribute) and node.attr in CLOCKS]
