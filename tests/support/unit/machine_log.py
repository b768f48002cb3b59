"""One gateway that appends to one machine."""

from __future__ import annotations

from typing import Any

from counter_node.counters import batches
from counter_node.counters import ops as o
from counter_node.counters.batches import Op, Outcome, OutcomeKind
from counter_node.counters.machine import Machine


class Log:
    """Appends to one machine as one gateway."""

    def __init__(self, machine: Machine | None = None) -> None:
        self.machine = machine or Machine()
        self.time_ms = 1_000
        self.index = 0
        self.number = 0
        self.session = self.append(batches.encode_open(1)).session

    def append(self, body: bytes, own: list[Op] | None = None) -> Outcome:
        self.index += 1
        return self.machine.apply(
            self.index,
            batches.stamp(self.time_ms, body),
            lambda session, number: own or batches.ops_of(body),
        )

    def run(self, *ops: Op) -> list[Any]:
        self.number += 1
        outcome = self.append(batches.encode_batch(self.session, self.number, list(ops)))
        assert outcome.kind is OutcomeKind.EXECUTED
        return outcome.replies

    def tick(self, ms: int) -> None:
        self.time_ms += ms
        self.append(batches.encode_tick())


def set_(key: bytes, value: int, kind: int = o.EX_NONE, ms: int = 0) -> Op:
    return [o.SET, key, value, o.ALWAYS, 0, kind, ms, False]


def names(count: int) -> list[bytes]:
    return [b"%d" % n for n in range(count)]
