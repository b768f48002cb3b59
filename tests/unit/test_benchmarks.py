"""The parts of the benchmarks that need no other system begin, measure and end."""

from __future__ import annotations

import asyncio
import sys

import pytest

from benchmarks import large, stages


def test_every_stage_of_the_hot_path_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(stages.main(repeats=1))
    lines = capsys.readouterr().out.splitlines()
    figures = [line.split() for line in lines if line.startswith("  ")]
    assert len(figures) == 14
    assert all(float(words[-1]) > 0 for words in figures)


def test_a_large_node_is_measured_to_the_end(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["large", "--keys", "2000", "--log-mib", "1"])
    assert large.main() == 0
    started = [line for line in capsys.readouterr().out.splitlines() if line.startswith("started again")]
    assert len(started) == 2
