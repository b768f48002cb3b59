"""Children that somebody else changes each time that they are applied. Pure, but for the clock.

Another controller, or a second tool that deploys, may want another value of the same field. Each
write would be undone at once, and a pass that has written a child does no step, as what it
observed is outdated: members would not be healed. So after `OFTEN` writes of one wish within
`SOON_S` the child is contested: it is applied after longer and longer pauses (refusals.py), that is
reported with the name of the other, and passes go on meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

OFTEN = 3
SOON_S, CALM_S = 60.0, 5.0


class Contests:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._writes: dict[Hashable, tuple[str, int, float]] = {}  # the wish, how often, when last

    def wrote(self, key: Hashable, wish: str) -> bool:
        """Noted: the child was changed for `wish`. True when that has happened too often."""
        before, count, last_s = self._writes.get(key, ("", 0, 0.0))
        again = before == wish and self._clock() - last_s < SOON_S
        count = count + 1 if again else 1
        self._writes[key] = (wish, count, self._clock())
        return count > OFTEN

    def calm(self, key: Hashable) -> bool:
        """Nothing was written for a while: whoever contests it would have changed it by now."""
        _, _, last_s = self._writes.get(key, ("", 0, -CALM_S))
        return self._clock() - last_s >= CALM_S

    def forget(self, belongs: Callable[[Hashable], bool]) -> None:
        for key in [k for k in self._writes if belongs(k)]:
            del self._writes[key]
