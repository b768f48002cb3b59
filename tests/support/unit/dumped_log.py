"""A machine with limits of users, and single operations on it."""

from __future__ import annotations

from typing import Any

from counter_node.counters import batches
from counter_node.counters.machine import Machine


class Log:
    def __init__(self) -> None:
        self.machine = Machine()
        self.index = self.number = 0
        self.time_ms = 1_000
        self.session = self.append(batches.encode_open(1)).session
        self.append(batches.encode(batches.UserLimits(((b"u", 100, None), (b"v", None, 1_000)))))

    def append(self, body: bytes) -> batches.Outcome:
        self.index += 1
        return self.machine.apply(
            self.index,
            batches.stamp(self.time_ms, body),
            lambda session, number: batches.ops_of(body),
        )

    def do(self, event: Any) -> None:
        if isinstance(event, batches.Jump):
            self.append(batches.encode(event))
        else:
            self.run(event)

    def run(self, op: Any) -> None:
        self.number += 1
        self.append(
            batches.encode_batch(
                self.session, self.number, [op if isinstance(op, bytes) else list(op)]
            )
        )
