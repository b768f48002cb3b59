"""A follower on a small disk, and one that has room again."""

from __future__ import annotations

from counter_node.counters.ops import is_write
from counter_node.raft.state import Config
from counter_node.raft.types import HardState, Member
from counter_node.replica.disk_room import ENTRY_BYTES
from counter_node.replica.founding import first_snapshot
from counter_node.replica.gateway import Gateway
from counter_node.replica.log_time import Clocks
from counter_node.replica.replica import Replica


def replica() -> Replica:
    gateway = Gateway(1, is_write=is_write, tick_ms=10, patience_ticks=100, retry_ticks=10)
    first = first_snapshot(Member(1, "n1", "n1:1", "n1:2", True))
    made = Replica(
        Config(2),
        HardState(1, 0, 1),
        first,
        [],
        gateway=gateway,
        clocks=Clocks(lambda: 0),
        randint=lambda a, b: a,
    )
    made.room_left(3 * ENTRY_BYTES + 100)
    return made


def follower() -> Replica:
    node = replica()
    node.room_left(None)
    return node
