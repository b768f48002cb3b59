"""How many members the operator gives up at once, over all clusters: whoever sees many losses at
the same time may be wrong about the world. Pure, but for its clock.

1. A cluster that gives up a member has a place in its failure domain until it is whole again; and
   as long as no machine of its zone is ready, so that a zone is never emptied one member after the
   other.
2. A cluster that does not become whole (no room for its pod, an image that does not start) keeps
   others waiting for `HOLD_S` and not for ever.
3. Where clusters of several namespaces wait, that namespace comes first which was served longest
   ago: one tenant with many clusters does not keep a place for itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

Key = tuple[str, str]  # namespace, name
HOLD_S = 1_800.0
ASKS_S = 180.0
"""Whoever has not asked for so long waits no more."""


class Place(NamedTuple):
    domain: str
    since: float


class Budget:
    def __init__(
        self, in_domain: int, in_all: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._in_domain, self._in_all, self._clock = in_domain, in_all, clock
        self._places: dict[Key, Place] = {}
        self._whole: set[Key] = set()  # of those, who needs none any more
        self._waiting: dict[Key, Place] = {}  # who was refused, where, and when last
        self._served: dict[str, float] = {}  # by namespace, when last

    def refusal(self, key: Key, domain: str, silent: Callable[[str], bool]) -> str:
        """Empty when `key` may give up a member in `domain`, and then it has a place; else why not.
        `silent`: of a zone without a ready machine."""
        now = self._clock()
        for done in [k for k in self._whole if not silent(self._places[k].domain)]:
            self._drop(done)
        held = {k: p for k, p in self._places.items() if now - p.since < HOLD_S or silent(p.domain)}
        if key in held and held[key].domain == domain and key not in self._whole:
            return ""
        if refusal := self._full(key, domain, held) or self._turn(key, domain, held, now):
            self._waiting[key] = Place(domain, now)
            return refusal
        self._waiting.pop(key, None)
        self._places[key] = Place(domain, now)
        self._whole.discard(key)
        self._served[key[0]] = now
        return ""

    def _full(self, key: Key, domain: str, held: dict[Key, Place]) -> str:
        others = [p.domain for k, p in held.items() if k != key]
        inside = others.count(domain) + (key in held and held[key].domain == domain)
        if inside >= self._in_domain:
            return f"at most {self._in_domain} at once in {domain} (HEALING_PER_DOMAIN)"
        if len(others) >= self._in_all:
            return f"at most {self._in_all} at once in all (HEALING_IN_ALL)"
        return ""

    def _turn(self, key: Key, domain: str, held: dict[Key, Place], now: float) -> str:
        """Rule 3: of those who want the same place, which may be the last one in all."""
        self._waiting = {k: p for k, p in self._waiting.items() if now - p.since < ASKS_S}
        self._served = {n: t for n, t in self._served.items() if now - t < 2 * HOLD_S}
        mine, last = self._served.get(key[0]), len(held.keys() - {key}) + 1 >= self._in_all
        if mine is None:
            return ""
        for (namespace, name), (wanted, _) in self._waiting.items():
            earlier = namespace != key[0] and self._served.get(namespace, mine - 1) < mine
            same = (last or wanted == domain) and not self._full((namespace, name), wanted, held)
            if earlier and same:
                return "a cluster of another namespace has waited for longer"
        return ""

    def occupy(self, key: Key, domain: str) -> None:
        """It gave one up under an earlier operator."""
        self._places.setdefault(key, Place(domain, self._clock()))

    def release(self, key: Key) -> None:
        """`key` is whole again."""
        if key in self._places:
            self._whole.add(key)

    def forget(self, key: Key) -> None:
        """`key` is gone."""
        self._drop(key)
        self._waiting.pop(key, None)

    def _drop(self, key: Key) -> None:
        self._places.pop(key, None)
        self._whole.discard(key)
