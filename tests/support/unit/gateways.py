"""A gateway whose session is open, and what it proposes."""

from __future__ import annotations

from typing import Any

from counter_node.counters import batches
from counter_node.counters import ops as o
from counter_node.counters.batches import Outcome, OutcomeKind
from counter_node.replica.gateway import Gateway

ROUTE = (1, 7, 0)


def opened(**limits: int) -> Gateway:
    gateway = Gateway(
        99, is_write=o.is_write, tick_ms=100, patience_ticks=10, retry_ticks=3, **limits
    )
    assert gateway.proposal(ROUTE) == batches.encode_open(99)
    gateway.applied(Outcome(OutcomeKind.SESSION_OPENED, 5, 0, 99))
    return gateway


def number_and_ops(body: bytes | None) -> tuple[int, list[Any]]:
    assert body is not None
    found = batches.decode(body)
    assert isinstance(found, batches.Batch)
    return found.number, batches.ops_of(body)
