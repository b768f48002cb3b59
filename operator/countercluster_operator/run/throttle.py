"""How many CounterClusters restart healthy members at the same time. Pure, but for its clock.

1. A roll that does not come to an end keeps its place, so that an image that does not start reaches
   no more clusters than there are places.
2. Nobody is kept waiting by one tenant: one namespace has half of the places at most, and a roll
   that has taken `HOLD_S` counts in its own namespace alone from then on.
"""

from __future__ import annotations

import time
from collections.abc import Callable

Key = tuple[str, str]  # namespace, name
HOLD_S = 1_800.0


class Throttle:
    def __init__(self, places: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._places, self._clock = places, clock
        self._inside: dict[Key, float] = {}  # since when

    def admit(self, key: Key) -> bool:
        """Whether `key` may go on; it keeps its place until `release`."""
        if key not in self._inside and self.full(key):
            return False
        self.occupy(key)
        return True

    def occupy(self, key: Key) -> None:
        """It has begun already, perhaps under an earlier operator: it has a place, also where there
        is none left."""
        self._inside.setdefault(key, self._clock())

    def release(self, key: Key) -> None:
        self._inside.pop(key, None)

    def full(self, key: Key) -> str:
        """Why there is no place for `key`; empty where there is one."""
        share, now = (self._places + 1) // 2, self._clock()
        own = sum(namespace == key[0] for namespace, _ in self._inside)
        fresh = sum(k[0] == key[0] or now - since < HOLD_S for k, since in self._inside.items())
        if fresh >= self._places:
            return f"{fresh} of {self._places} places are taken"
        return f"{own} of {share} places of one namespace are taken" if own >= share else ""
