"""Whole archives from seeds (tests/support/archive_run.py): whatever the store and the members did,
a restore gives one moment of the truth."""

from __future__ import annotations

import pytest

from tests.support.archive_run import Run


@pytest.mark.parametrize("seed", range(1, 61))
def test_any_prefix_of_writes_restores_to_one_moment(seed: int) -> None:
    Run(seed).all()
