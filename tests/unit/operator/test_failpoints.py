"""A failpoint starts the process again, once; without the variable there is none."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os
from countercluster_operator.apply.failpoints import reach
print("begun", flush=True)
reach("a")
reach("b")
print("done", flush=True)
"""


def output(**environment: str) -> list[str]:
    words = [sys.executable, "-c", PROGRAM]
    path = ":".join(p for p in sys.path if p)
    return subprocess.run(
        words,
        env={"PYTHONPATH": path, **environment},
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    ).stdout.split()


def test_each_place_is_reached_once() -> None:
    assert output() == ["begun", "done"]
    assert output(FAILPOINTS="b") == ["begun", "begun", "done"]
    assert output(FAILPOINTS="*") == ["begun", "begun", "begun", "done"]
