"""The house keeps its rules (generators/house.py, CONTRIBUTING.md): no circles of imports, pure
rooms that stay pure, short modules and functions, an opening paragraph in each module, and a
picture that is true.

There is no list of exceptions: what breaks a rule is mended, not written down."""

from __future__ import annotations

import ast
import runpy
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
HOUSE: dict[str, Any] = runpy.run_path(str(ROOT / "generators" / "house.py"))

MODULE_LINES, FUNCTION_LINES = 400, 50
"""A module and a function have fewer."""
PURE = (
    "counter_node.archive.rules",
    "counter_node.raft",
    "counter_node.counters",
    "counter_node.resp",
    "counter_node.replica",
    "counter_node.script",
    "countercluster_operator.decide",
    "countercluster_operator.resources",
)
"""Rooms without clock, socket, file or random number: what they need of these comes in."""
IMPURE = {
    "asyncio", "os", "pathlib", "random", "secrets", "select", "selectors", "signal", "socket",
    "ssl", "subprocess", "tempfile",
    "threading", "time", "uvloop",
}  # fmt: skip
OPERATOR = tuple(
    "countercluster_operator" + room
    for room in ("", ".world", ".credentials", ".decide", ".resources", ".apply")
)
"""Its rooms, each of which may import those before it."""
ARROWS = {
    "counter_node.raft": (),
    "counter_node.script": ("counter_node",),
    "counter_node.counters": ("counter_node", "counter_node.script"),
    "counter_node.replica": ("counter_node.counters", "counter_node.raft"),
    "counter_node.storage": ("counter_node.raft", "counter_node.replica"),
    "counter_node.archive": (
        "counter_node",
        "counter_node.archive.rules",
        "counter_node.counters",
        "counter_node.raft",
        "counter_node.resp",
        "counter_node.resp",
        "counter_node.storage",
    ),
    "counter_node.archive.rules": ("counter_node.counters", "counter_node.raft"),
    "counter_node.cache": ("counter_node",),
    "counter_node.security": ("counter_node", "counter_node.counters"),
    "counter_node.resp": ("counter_node.counters", "counter_node.security"),
    "counter_node.users": (
        "counter_node",
        "counter_node.counters",
        "counter_node.resp",
        "counter_node.security",
        "counter_node.storage",
    ),
    "counter_node.views": (
        "counter_node",
        "counter_node.cache",
        "counter_node.counters",
        "counter_node.raft",
        "counter_node.replica",
        "counter_node.resp",
        "counter_node.security",
        "counter_node.users",
    ),
    "counter_node.admin": (
        "counter_node",
        "counter_node.archive.rules",
        "counter_node.counters",
        "counter_node.raft",
        "counter_node.replica",
        "counter_node.storage",
        "counter_node.views",
    ),
    "counter_node.net": (
        "counter_node",
        "counter_node.counters",
        "counter_node.fast",
        "counter_node.raft",
        "counter_node.replica",
        "counter_node.resp",
        "counter_node.security",
        "counter_node.users",
        "counter_node.views",
    ),
    "countercluster": ("countercluster.aio", "countercluster.sync"),
    "countercluster.aio": ("countercluster",),
    "countercluster.sync": ("countercluster",),
    "countercluster_operator": ("countercluster_operator.run",),
    "countercluster_operator.world": OPERATOR[:1],
    "countercluster_operator.credentials": (
        *OPERATOR[:2],
        "counter_node.resp",
        "counter_node.security",
    ),
    "countercluster_operator.decide": OPERATOR[:3],
    "countercluster_operator.resources": OPERATOR[:4],
    "countercluster_operator.apply": OPERATOR[:5],
    "countercluster_operator.run": OPERATOR[:6],
    "kubectl_counters": ("countercluster",),
    "kind": ("kind.packaging", "kind.tools"),
    "kind.packaging": ("kind.tools",),
    "kind.release": ("generators", "kind", "kind.packaging", "kind.tools"),
    "kind.tools": (),
}
"""What a room may import of other rooms; a room without a row may import what it likes."""


def files(*patterns: str) -> list[str]:
    """Files of the repository, those not committed yet included."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *(patterns or ["*.py"])],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


def long_modules() -> Iterator[str]:
    for name in [*files(), *files("*.pyx")]:
        if len((ROOT / name).read_text().splitlines()) >= MODULE_LINES:
            yield name


def long_functions() -> Iterator[str]:
    for name in files():
        for node in HOUSE["statements"](HOUSE["tree"](ROOT / name)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines >= FUNCTION_LINES:
                    yield f"{name}:{node.name}"


def impure() -> Iterator[str]:
    for name, file in HOUSE["modules"]().items():
        if name.startswith(PURE):
            nodes = [
                node
                for node in HOUSE["statements"](HOUSE["tree"](file))
                if isinstance(node, ast.Import | ast.ImportFrom)
            ]
            words = {
                w
                for n in nodes
                for w in (
                    [n.module or ""] if isinstance(n, ast.ImportFrom) else [a.name for a in n.names]
                )
            }
            if {word.partition(".")[0] for word in words} & IMPURE:
                yield name


def everything() -> dict[str, Path]:
    """The modules of the picture, and those of tests, benchmarks and examples."""
    found: dict[str, Path] = dict(HOUSE["modules"]())
    for name in files("tests/*.py", "benchmarks/*.py", "examples/*.py"):
        found[name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")] = ROOT / name
    return found


def circles() -> Iterator[str]:
    yield from (" ".join(group) for group in HOUSE["circles"](HOUSE["imports"](everything())))


@pytest.mark.parametrize(
    ("rule", "broken_by"),
    [("circles", circles), ("pure rooms", impure), ("long modules", long_modules),
    ("long functions", long_functions)],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_rule_is_kept_everywhere(rule: str, broken_by: Callable[[], Iterator[str]]) -> None:
    assert not set(broken_by()), rule


def test_each_module_opens_with_what_it_is_for() -> None:
    rooms = "/__init__.py"
    assert not [
        n
        for n in files()
        if not n.endswith(rooms) and not ast.get_docstring(HOUSE["tree"](ROOT / n))
    ]


@pytest.mark.parametrize("room", ARROWS)
def test_arrows_run_one_way(room: str) -> None:
    assert HOUSE["rooms"](HOUSE["modules"](), HOUSE["graph"]())[room] <= set(ARROWS[room])


def test_the_picture_of_the_house_is_true() -> None:
    text = HOUSE["PAGE"].read_text()
    assert HOUSE["page"](text) == text, "run: python generators/house.py"


def test_an_import_that_makes_a_circle_is_found(tmp_path: Path) -> None:
    """Type-only imports and those inside a function make a circle as well."""
    texts = {
        "a": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from b import B\n",
        "b": "def late():\n    import c\n",
        "c": "from a import A\n",
        "d": "import a\n",
    }
    paths = {}
    for name, text in texts.items():
        paths[name] = tmp_path / f"{name}.py"
        paths[name].write_text(text)
    assert HOUSE["circles"](HOUSE["imports"](paths)) == [("a", "b", "c")]


def test_support_of_tests_is_in_its_own_room() -> None:
    """Nothing imports from the unit tests, and they do not from each other."""
    unit = [
        name
        for name in files()
        for node in HOUSE["statements"](HOUSE["tree"](ROOT / name))
        if isinstance(node, ast.Import | ast.ImportFrom) and "tests.unit" in ast.unparse(node)
    ]
    assert not unit
