"""A store in memory that can do everything wrong that a real one was seen to do, by a seed.

refuse   an error, and nothing was done
full     the same, for writes alone
unknown  an error, and it was done all the same
late     an error, and it is done at any later time, if the name is free then
cut      done without an error, and only part of the bytes is there
flip     done without an error, and a bit is another one
lost     done without an error, and nothing is there
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from counter_node.archive.stores import AbsentError, ExistsError, StoreError

HONEST = ("refuse", "full", "unknown", "late")
LIES = ("cut", "flip", "lost")


class MemoryStore:
    def __init__(self, seed: int = 0) -> None:
        self.where = "memory://"
        self.objects: dict[str, bytes] = {}
        self.journal: list[tuple[str, bytes | None]] = []
        """Each write that was done, in order; None: deleted."""
        self.faults: tuple[str, ...] = ()
        self.rate = 0.0
        self.lied = 0
        self._late: list[tuple[str, bytes]] = []
        self._random = random.Random(seed)

    def create(self, name: str, data: bytes) -> None:
        fault = self._fault()
        if fault in ("refuse", "full"):
            raise StoreError(f"memory: {fault}")
        if fault == "late":
            self._late.append((name, data))
            raise StoreError("memory: no answer")
        if name in self.objects:
            raise ExistsError(f"memory: {name}")
        if fault in LIES:
            self.lied += 1
            if fault == "lost":
                return
            data = self._damaged(data, fault)
        self._do(name, data)
        if fault == "unknown":
            raise StoreError("memory: no answer")

    def get(self, name: str) -> bytes:
        if self._fault() == "refuse":
            raise StoreError("memory: refused")
        if name not in self.objects:
            raise AbsentError(f"memory: {name}")
        return self.objects[name]

    def list(self, under: str = "") -> Iterator[tuple[str, int]]:
        if self._fault() == "refuse":
            raise StoreError("memory: refused")
        names = [name for name in self.objects if name.startswith(under)]
        self._random.shuffle(names)  # no order is promised
        return iter([(name, len(self.objects[name])) for name in names])

    def delete(self, name: str) -> None:
        if self._fault() == "refuse":
            raise StoreError("memory: refused")
        if self.objects.pop(name, None) is not None:
            self.journal.append((name, None))

    def land(self) -> None:
        """One of the late writes arrives."""
        if self._late:
            name, data = self._late.pop(self._random.randrange(len(self._late)))
            if name not in self.objects:
                self._do(name, data)

    def heal(self) -> None:
        self.faults, self.rate = (), 0.0

    def _fault(self) -> str:
        if self.faults and self._random.random() < self.rate:
            return self._random.choice(self.faults)
        return ""

    def _damaged(self, data: bytes, fault: str) -> bytes:
        at = self._random.randrange(len(data))
        if fault == "cut":
            return data[:at]
        return data[:at] + bytes([data[at] ^ 1 << self._random.randrange(8)]) + data[at + 1 :]

    def _do(self, name: str, data: bytes) -> None:
        self.objects[name] = data
        self.journal.append((name, data))


def after(journal: list[tuple[str, bytes | None]]) -> MemoryStore:
    """A healthy store that did these writes and no others."""
    store = MemoryStore()
    for name, data in journal:
        if data is None:
            store.objects.pop(name, None)
        else:
            store.objects[name] = data
    return store
