"""What a simulated node needs of the world around it (world.py): time, chance, the network, the
durations of its disk, and those who check it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Protocol

from counter_node.raft.types import NodeId, Snapshot

from tests.simulation.invariants import Invariants


class Around(Protocol):
    now: float
    """Milliseconds."""
    random: random.Random
    leases: bool
    real_storage: bool
    invariants: Invariants

    def at(self, delay_ms: float, action: Callable[[], None]) -> None: ...

    def trace(self, *what: Any) -> None: ...

    def send(self, sender: Any, to: NodeId, message: Any) -> None: ...

    def link_works(self, sender: NodeId, to: NodeId) -> bool: ...

    def dial(self, sender: NodeId, to: NodeId) -> bool: ...

    def sync_delay(self) -> float: ...

    def save_delay(self, snapshot: Snapshot | None) -> float: ...

    def node_down(self, node: Any) -> None: ...
