"""What a node is made of, by its settings: the replica, and the first state of a new cluster."""

from __future__ import annotations

import random
import secrets

from counter_node.counters.batches import Limits, LimitsRow
from counter_node.counters.machine import Machine
from counter_node.counters.ops import is_write
from counter_node.raft.lease import Promise
from counter_node.raft.state import Config
from counter_node.raft.types import Entry, HardState, Member, NodeId, Snapshot
from counter_node.replica.gateway import Gateway
from counter_node.replica.governor import Wanted
from counter_node.replica.log_time import Clocks, Note
from counter_node.replica.replica import Replica
from counter_node.resp.called import operation
from counter_node.settings import LARGEST_ENTRY_BYTES, Settings
from counter_node.storage import clock_note

RETRY_TICKS = 5
"""Silence after which a gateway sends its batch again."""


def make_replica(
    s: Settings,
    node_id: NodeId,
    max_bytes: int,
    user_limits: tuple[LimitsRow, ...],
    hard_state: HardState,
    snapshot: Snapshot | None,
    entries: list[Entry],
    note: Note | None,
    *,
    second: bool = False,
) -> Replica:
    """With this machine's clocks, and its random numbers."""
    gateway = Gateway(
        secrets.randbits(62),
        is_write=is_write,
        tick_ms=s.tick_ms,
        patience_ticks=max(1, s.patience_ms // s.tick_ms),
        retry_ticks=RETRY_TICKS,
        max_batch_bytes=s.max_entry_bytes // 2,
        max_entry_bytes=s.max_entry_bytes,
    )
    config = Config(
        node_id,
        heartbeat_ticks=s.heartbeat_ticks,
        election_ticks=s.election_ticks,
        max_entry_bytes=LARGEST_ENTRY_BYTES,
        max_write_bytes=s.segment_bytes // 2,
    )
    promise = (
        Promise(clock_note.running_ms, s.election_ticks * s.tick_ms) if s.lease_reads else None
    )
    return Replica(
        config,
        hard_state,
        snapshot,
        entries,
        gateway=gateway,
        clocks=Clocks(clock_note.wall_ms, clock_note.running_ms, clock_note.synchronised),
        note=note,
        second_note=second,
        randint=random.SystemRandom().randint,
        promise=promise,
        knows=s.level,
        operation=operation,
        wanted=Wanted(Limits(s.max_keys, s.max_producers), max_bytes, user_limits),
    )


def first_machine(s: Settings, max_bytes: int, began_ms: int) -> Machine:
    """Of a new cluster."""
    return Machine(
        s.max_keys,
        max_producers=s.max_producers,
        max_bytes=max_bytes,
        knows=s.level,
        began_ms=began_ms,
        history=new_history(),
    )


def new_history() -> str:
    return secrets.token_hex(8)


def member_of(node_id: NodeId, s: Settings) -> Member:
    return Member(node_id, s.name, s.advertise_peer, s.advertise_resp, True)
