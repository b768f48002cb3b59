"""How many CounterClusters restart healthy members at the same time. A roll that does not come to
an end keeps its place, so that an image that does not start reaches no more clusters than there are
places."""

from __future__ import annotations

from collections.abc import Hashable


class Throttle:
    def __init__(self, places: int) -> None:
        self._places = places
        self._inside: set[Hashable] = set()

    def admit(self, key: Hashable) -> bool:
        """Whether `key` may go on; it keeps its place until `release`."""
        if key not in self._inside and len(self._inside) >= self._places:
            return False
        self._inside.add(key)
        return True

    def occupy(self, key: Hashable) -> None:
        """It has begun already, perhaps under an earlier operator: it has a place, also where there
        is none left."""
        self._inside.add(key)

    def release(self, key: Hashable) -> None:
        self._inside.discard(key)

    @property
    def full(self) -> str:
        return f"{len(self._inside)} of {self._places} places are taken"
