"""Modules import only from their own floor and from floors below it, as their syntax trees show."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# From the top to the bottom. A module may import from its own floor and from those below it.
FLOORS = (
    ("pipeline.start",),
    ("pipeline.cli",),
    (
        "pipeline.environment",
        "pipeline.options",
        "pipeline.runner",
        "pipeline.check",
        "pipeline.bench",
        "pipeline.serve",
        "pipeline.status",
        "pipeline.usage",
    ),
    ("pipeline.server",),
    ("pipeline.work",),
    ("pipeline.engines",),
    ("pipeline.events",),
    ("pipeline.inbox",),
    ("pipeline.outbox",),
    ("pipeline.stores",),
    ("pipeline.manifest",),
    ("pipeline.settings",),
    ("pipeline.timing", "pipeline.errors", "pipeline.cache"),
    ("nst",),
)
WITHOUT_TORCH = (
    "pipeline.server",
    "pipeline.work",
    "pipeline.inbox",
    "pipeline.outbox",
    "pipeline.stores",
    "pipeline.manifest",
)
# The only modules of nst that these may import. They do not import torch, directly or indirectly.
LIGHT = ("nst", "nst.errors", "nst.parameters", "nst.result")
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in ("nst", "pipeline")
    for path in sorted((ROOT / folder).rglob("*.py"))
}


def nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes except those under `if TYPE_CHECKING`."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from nodes(child)


def imports(module: str) -> Iterator[str]:
    """The modules that a module imports, also inside of functions."""
    for node in nodes(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else node.module


def floor(module: str) -> int:
    """The number of the floor of a module, counted from the top."""
    for number, names in enumerate(FLOORS):
        if any(module == name or module.startswith(f"{name}.") for name in names):
            return number
    raise AssertionError(f"{module} is on no floor; add it to FLOORS")


@pytest.mark.parametrize("module", [name for name in MODULES if name != "pipeline"])
def test_a_module_imports_only_from_its_own_floor_and_below(module: str) -> None:
    above = [
        other
        for other in imports(module)
        if other in MODULES and other != "pipeline" and floor(other) < floor(module)
    ]
    assert not above, f"{module} imports {above}, which are on a floor above it"


def test_there_are_no_circular_imports() -> None:
    graph = {name: {other for other in imports(name) if other in MODULES} - {name} for name in MODULES}
    while leaves := {name for name, others in graph.items() if not others & graph.keys()}:
        graph = {name: others for name, others in graph.items() if name not in leaves}
    assert not graph


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith(WITHOUT_TORCH)])
def test_modules_that_must_work_without_torch_do_not_import_it(module: str) -> None:
    heavy = [
        other
        for other in imports(module)
        if other.split(".")[0] in ("torch", "torchvision") or (other.startswith("nst") and other not in LIGHT)
    ]
    assert not heavy


@pytest.mark.parametrize("module", LIGHT[1:])
def test_the_light_part_of_nst_imports_no_torch(module: str) -> None:
    ours = {other for other in imports(module) if other.split(".")[0] in ("torch", "torchvision", "nst")}
    assert ours <= set(LIGHT)


def test_no_module_checks_the_class_of_a_store() -> None:
    kinds = {"FolderStore", "S3Store", "MemoryStore"}
    checking = [
        name
        for name, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "isinstance"
        and any(kind in ast.unparse(node.args[1]) for kind in kinds)
    ]
    assert not checking
