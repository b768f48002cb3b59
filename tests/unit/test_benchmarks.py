"""The parts of the benchmarks that need no other system begin, measure and end."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks import stages


def test_every_stage_of_the_hot_path_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(stages.main(repeats=1))
    lines = capsys.readouterr().out.splitlines()
    figures = [line.split() for line in lines if line.startswith("  ")]
    assert len(figures) == 14
    assert all(float(words[-1]) > 0 for words in figures)
