"""The picture of the house in CONTRIBUTING.md, from the imports of the code: `python
generators/house.py`.

A room is a package, a module belongs to the innermost one, and an arrow says "imports", type-only
imports and those inside functions included. A test fails while the picture is stale
(tests/unit/house/), and when an import makes a circle.
"""

from __future__ import annotations

import argparse
import ast
import functools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- rooms: made by generators/house.py -->\n", "<!-- end of rooms -->\n"
SOURCES = {
    "counter_node": "node_image/counter_node",
    "countercluster_operator": "operator/countercluster_operator",
    "countercluster": "client/countercluster",
    "kubectl_counters": "client/kubectl_counters",
    "kind": "kind",
    "generators": "generators",
}
"""The name of each package, and where it is."""

Graph = Mapping[str, frozenset[str]]


@functools.cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Those inside of others included; expressions are skipped."""
    for part in ("body", "orelse", "handlers", "finalbody", "cases"):
        for inner in getattr(node, part, ()):
            if isinstance(inner, ast.stmt):
                yield inner
            yield from statements(inner)


@functools.cache
def modules() -> dict[str, Path]:
    """Every module by its name: "counter_node.raft.log"."""
    found = {}
    for package, folder in SOURCES.items():
        for file in sorted((ROOT / folder).rglob("*.py")):
            parts = file.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join((package, *parts)).removesuffix(".__init__")] = file
    return found


@functools.cache
def graph() -> dict[str, frozenset[str]]:
    return imports(modules())


def imports(files: Mapping[str, Path]) -> dict[str, frozenset[str]]:
    """What each module imports of the others. `from room import name` is the module `room.name`
    where there is one, else the room."""
    return {name: frozenset(_imported(name, files)) - {name} for name in files}


def _imported(name: str, known: Mapping[str, Path]) -> Iterator[str]:
    for node in statements(tree(known[name])):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            source = _source(node, room_of(name, known))
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                if inner in known:
                    yield inner
                elif source in known:
                    yield source


def _source(node: ast.ImportFrom, room: str) -> str:
    """The absolute name of what a module of `room` imports from, also where it says ".disk"."""
    above = room.split(".")[: 1 - node.level or None] if node.level else []
    return ".".join([*above, *(node.module or "").split(".")]).rstrip(".")


def circles(arrows: Graph) -> list[tuple[str, ...]]:
    """Groups of modules that all lead to each other, each sorted."""
    reached = {name: _reached(arrows, name) for name in arrows}
    groups = {
        tuple(sorted(n for n in reached[name] if name in reached[n]))
        for name in arrows
        if name in reached[name]
    }
    return sorted(groups)


def _reached(arrows: Graph, name: str) -> set[str]:
    seen: set[str] = set()
    todo = list(arrows[name])
    while todo:
        current = todo.pop()
        if current not in seen:
            seen.add(current)
            todo += arrows.get(current, ())
    return seen


def room_of(module: str, files: Mapping[str, Path]) -> str:
    return module if files[module].name == "__init__.py" else module.rpartition(".")[0]


def rooms(files: Mapping[str, Path], arrows: Graph) -> dict[str, frozenset[str]]:
    """What the modules of each room import of other rooms."""
    found: dict[str, set[str]] = {}
    for name, imported in arrows.items():
        room = room_of(name, files)
        found.setdefault(room, set()).update(room_of(other, files) for other in imported)
    return {room: frozenset(others - {room}) for room, others in sorted(found.items())}


def purpose(file: Path) -> str:
    """The first sentence of a module's opening paragraph."""
    opening = ast.get_docstring(tree(file)) or ""
    return " ".join(opening.split("\n\n")[0].split()).split(". ")[0].rstrip(".:")


def rendered() -> str:
    files = modules()
    arrows = rooms(files, graph())
    lines = ["| room | what is in it | imports |", "|---|---|---|"]
    for room, others in arrows.items():
        file = ROOT / SOURCES[room.partition(".")[0]] / Path(*room.split(".")[1:]) / "__init__.py"
        text = purpose(file) if file.exists() else "Entry point"
        lines.append(f"| `{room}` | {text} | {_short(room, others)} |")
    return "\n".join(lines) + "\n"


def _short(room: str, others: Iterable[str]) -> str:
    own = room.partition(".")[0]
    return (
        ", ".join(f"`{other.removeprefix(own + '.') or own}`" for other in sorted(others))
        or "nothing"
    )


def page(text: str) -> str:
    """`text` with the table made again."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + rendered() + END + after


if __name__ == "__main__":
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    PAGE.write_text(page(PAGE.read_text()))
