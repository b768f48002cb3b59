"""The engine with its commonest parts compiled, and the one in Python, count and answer alike: the
same made-up scripts are run in this process and in one with `COUNTER_PURE=1`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from counter_node.counters import increments

from tests.support.unit import script_traces

ROOT = Path(__file__).resolve().parents[3]
SEEDS = range(4)


def pure(function: str, seed: int, count: int) -> list[str]:
    program = (
        f"import sys; sys.path[:0] = [{str(ROOT / 'node_image')!r}, {str(ROOT)!r}]; import json; "
        f"from tests.support.unit.script_traces import {function}; "
        f"print(json.dumps({function}({seed}, {count})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "COUNTER_PURE": "1"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: list[str] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(not increments.COMPILED, reason="nothing is compiled here")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("function", "count"), [("of_engine", 800), ("of_machine", 150)])
def test_scripts_count_and_answer_alike(function: str, count: int, seed: int) -> None:
    here = getattr(script_traces, function)(seed, count)
    for number, (ours, theirs) in enumerate(zip(here, pure(function, seed, count), strict=True)):
        assert ours == theirs, number
    assert len(set(here)) > count // 2, "they do not all end alike"
