"""What can be sent, and what is refused before anything is."""

from __future__ import annotations

from typing import Any

import pytest
from countercluster import Counters, commands


@pytest.mark.parametrize("wrong", [None, True, [], b"k".join])
def test_what_cannot_be_sent_is_no_unknown_outcome(wrong: Any) -> None:
    """redis-py refuses such a word where it packs the command, and that passed for a connection
    without an answer for 30 s."""
    for make in (
        lambda: commands.incr(wrong),
        lambda: commands.incr("k", wrong),
        lambda: commands.incr(wrong, 2),
    ):
        with pytest.raises(TypeError, match="keys are str or bytes, and amounts are int"):
            make()


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf"), 1e300])
def test_a_time_that_is_over_at_once_or_never_comes_is_refused(wrong: float) -> None:
    for make in (
        lambda: commands.put("k", 1, ttl_s=wrong),
        lambda: commands.expire("k", wrong),
        lambda: commands.incr("k", window_s=wrong),
    ):
        with pytest.raises(ValueError, match="more than 0 and at most"):
            make()
    assert commands.expire("k", 0.000_1).words == ("PEXPIRE", "k", 1)


@pytest.mark.parametrize("wrong", [0, -1, float("nan")])
def test_a_deadline_that_is_no_time_is_refused(wrong: float) -> None:
    counters = Counters("redis://127.0.0.1:1")
    with pytest.raises(ValueError, match=r"deadline_s is .*; more than 0 seconds"):
        counters.within(wrong)
    with pytest.raises(ValueError, match=r"attempt_s is .*; more than 0 seconds"):
        Counters("redis://127.0.0.1:1", attempt_s=wrong)
    counters.close()
