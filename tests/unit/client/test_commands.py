"""What can be sent, and what is refused before anything is."""

from __future__ import annotations

from typing import Any

import pytest
from countercluster import commands


@pytest.mark.parametrize("wrong", [None, True, [], b"k".join])
def test_what_cannot_be_sent_is_no_unknown_outcome(wrong: Any) -> None:
    """redis-py refuses such a word where it packs the command, and that looked like a connection
    without an answer for 30 s."""
    for make in (
        lambda: commands.incr(wrong),
        lambda: commands.incr("k", wrong),
        lambda: commands.incr(wrong, 2),
    ):
        with pytest.raises(TypeError, match="keys are str or bytes, and amounts are int"):
            make()
