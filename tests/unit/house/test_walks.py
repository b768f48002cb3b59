"""CONTRIBUTING.md names functions, rows and files that are there: in its walks, in its tables of
changes, and in each "How to add …"."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
ROOMS = ("node_image/counter_node", "operator/countercluster_operator")
STEPS = re.findall(r"`(\S+\.py):\s+([\w.]+)`", PAGE)
"""What stands in it as `file: name`."""
PLACES = [
    place
    for place in re.findall(r"`([\w/.]+(?:\.py|\.md|\.yaml|/))`", PAGE)
    if not place.startswith(("build/", "~"))
]


def found(place: str) -> list[Path]:
    """In a room of the node or the operator, or from the top of the repository."""
    return [path for room in (*ROOMS, ".") if (path := ROOT / room / place).exists()]


def names(file: Path) -> set[str]:
    """What a module has at its top, and methods as Class.method."""
    body = ast.parse(file.read_text()).body
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    top = {node.name for node in body if isinstance(node, (*functions, ast.ClassDef))}
    assigned = [
        target
        for node in body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ]
    return (
        top
        | {target.id for target in assigned if isinstance(target, ast.Name)}
        | {
            f"{node.name}.{inner.name}"
            for node in body
            if isinstance(node, ast.ClassDef)
            for inner in node.body
            if isinstance(inner, functions)
        }
    )


def test_there_are_three_walks_and_what_is_named_is_found_in_the_page() -> None:
    assert len(STEPS) > 40
    assert len(set(PLACES)) > 60


@pytest.mark.parametrize(("place", "function"), sorted(set(STEPS)))
def test_what_is_named_with_its_file_is_there(place: str, function: str) -> None:
    files = found(place)
    assert files, f"{place} is in no room"
    assert any(function in names(file) for file in files), f"{place} has no {function}"


@pytest.mark.parametrize("place", sorted(set(PLACES)))
def test_a_file_or_folder_that_is_named_is_there(place: str) -> None:
    assert found(place), f"{place} is in no room"
