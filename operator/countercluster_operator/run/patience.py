"""How soon a cluster that waits for something has its next pass. Pure.

What it waits for mostly comes by the watches: a pod starts, becomes ready, goes. The rest (a
member catches up, somebody leads) comes within seconds or not for long. So a cluster is observed
every second for `QUICK` looks; while it goes on waiting for the very same thing, ever more rarely,
up to `LONGEST_S`; and where many wait, as in an outage, to `EACH_S` for each of them, as nobody is
helped by an operator and an API server that are busy with looking."""

from __future__ import annotations

from collections.abc import Hashable

SOON_S = 1.0
QUICK = 15
LONGEST_S = 5.0
EACH_S = 0.05


class Patience:
    def __init__(self) -> None:
        self._waits: dict[Hashable, tuple[str, int]] = {}  # for what, and how many looks already

    def again_s(self, key: Hashable, waiting: str) -> float:
        """`waiting`: for what it waits, in words."""
        before, looks = self._waits.get(key, ("", 0))
        looks = looks + 1 if before == waiting else 0
        self._waits[key] = (waiting, looks)
        longest = max(LONGEST_S, EACH_S * len(self._waits))
        return min(longest, SOON_S * float(2 ** min(16, max(0, looks - QUICK))))

    def forget(self, key: Hashable) -> None:
        """It waits no more."""
        self._waits.pop(key, None)
