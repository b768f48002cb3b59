"""The walks in CONTRIBUTING.md lead through functions that are there, and its table of changes
names files that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
ROOMS = ("node_image/counter_node", "operator/countercluster_operator")
STEPS = re.findall(
    r"`(\S+\.py):\s+([\w.]+)`", PAGE.partition("## Three walks")[2].partition("\n## ")[0]
)
PLACES = re.findall(
    r"`([\w/.]+(?:\.py|/))`",
    PAGE.partition("## Where do I change")[2].partition("\n## ")[0],
)


def found(place: str) -> list[Path]:
    """In a room of the node or the operator, or from the top of the repository."""
    return [path for room in (*ROOMS, ".") if (path := ROOT / room / place).exists()]


def names(file: Path) -> set[str]:
    """Functions, and methods as Class.method."""
    body = ast.parse(file.read_text()).body
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    top = {node.name for node in body if isinstance(node, functions)}
    return top | {
        f"{node.name}.{inner.name}"
        for node in body
        if isinstance(node, ast.ClassDef)
        for inner in node.body
        if isinstance(inner, functions)
    }


def test_there_are_three_walks() -> None:
    assert len(STEPS) > 30


@pytest.mark.parametrize(("place", "function"), sorted(set(STEPS)))
def test_a_step_of_a_walk_is_there(place: str, function: str) -> None:
    files = found(place)
    assert files, f"{place} is in no room"
    assert any(function in names(file) for file in files), f"{place} has no {function}"


@pytest.mark.parametrize("place", sorted(set(PLACES)))
def test_a_place_to_change_is_there(place: str) -> None:
    assert found(place), f"{place} is in no room"
