"""How many members the operator gives up at once, over all clusters: whoever sees many losses at
the same time may be wrong about the world.

A cluster that gives up a member has a place in its failure domain until it is whole again; and as
long as no machine of its zone is ready, so that a zone is never emptied one member after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable


class Budget:
    def __init__(self, in_domain: int, in_all: int) -> None:
        self._in_domain, self._in_all = in_domain, in_all
        self._places: dict[Hashable, str] = {}  # who has one, and in which domain
        self._whole: set[Hashable] = set()  # of those, who needs none any more

    def refusal(self, key: Hashable, domain: str, silent: Callable[[str], bool]) -> str:
        """Empty when `key` may give up a member in `domain`, and then it has a place; else why not.
        `silent`: of a zone without a ready machine."""
        for done in [k for k in self._whole if not silent(self._places[k])]:
            self._drop(done)
        if self._places.get(key) == domain and key not in self._whole:
            return ""
        others = [d for k, d in self._places.items() if k != key]
        inside = others.count(domain) + (self._places.get(key) == domain)
        if inside >= self._in_domain:
            return f"at most {self._in_domain} at once in {domain} (HEALING_PER_DOMAIN)"
        if len(others) >= self._in_all:
            return f"at most {self._in_all} at once in all (HEALING_IN_ALL)"
        self._places[key] = domain
        self._whole.discard(key)
        return ""

    def occupy(self, key: Hashable, domain: str) -> None:
        """It gave one up under an earlier operator."""
        self._places.setdefault(key, domain)

    def release(self, key: Hashable) -> None:
        """`key` is whole again."""
        if key in self._places:
            self._whole.add(key)

    def forget(self, key: Hashable) -> None:
        """`key` is gone."""
        self._drop(key)

    def domain(self, key: Hashable) -> str:
        """Where it has a place; empty when it has none, or needs none any more."""
        return "" if key in self._whole else self._places.get(key, "")

    def _drop(self, key: Hashable) -> None:
        self._places.pop(key, None)
        self._whole.discard(key)
