"""A replica with a clock that the test sets, without a network."""

from __future__ import annotations

from counter_node.counters.machine import Machine
from counter_node.counters.ops import is_write
from counter_node.raft.messages import (
    AppendResponse,
    VoteResponse,
)
from counter_node.raft.state import Config
from counter_node.raft.types import HardState, Member, Snapshot
from counter_node.replica.disk_jobs import DiskJob
from counter_node.replica.founding import first_snapshot
from counter_node.replica.gateway import Gateway
from counter_node.replica.log_time import Clocks, Note
from counter_node.replica.replica import Replica

from tests.support.unit.raft_network import membership

EPOCH_MS = 1_800_000_000_000


class Alone:
    """A replica with a clock that the test sets. Its disk is instant unless the test holds it."""

    def __init__(self, voters: int = 1) -> None:
        self.now_ms = EPOCH_MS
        start = first_snapshot(
            Member(1, "n1", "n1:1", "n1:2", True), Machine(began_ms=EPOCH_MS, history="c" * 16)
        )
        if voters > 1:
            start = Snapshot(type(start.meta)(1, 1, membership(voters)), start.state)
        gateway = Gateway(99, is_write=is_write, tick_ms=100, patience_ticks=35, retry_ticks=5)
        self.replica = Replica(
            Config(1, keep_entries=0),
            HardState(1, 0, 1),
            start,
            [],
            gateway=gateway,
            clocks=Clocks(lambda: self.now_ms),
            randint=lambda low, high: low,
            note=Note(EPOCH_MS, EPOCH_MS),
        )
        self.held: DiskJob | None = None

    def turn(self, *, hold: bool = False) -> None:
        for _ in range(50):
            job = self.replica.turn().job
            if job is None:
                return
            if hold:
                self.held = job
                return
            self.replica.persisted(job)

    def tick(self, times: int = 1, ms: int = 100) -> None:
        for _ in range(times):
            self.now_ms += ms
            self.replica.tick()
            self.turn()

    def lead(self) -> None:
        self.replica.raft.campaign()
        self.turn()
        if len(self.replica.raft.voters) > 1:
            self.replica.receive(2, VoteResponse(2, True, True))
            self.turn()
            self.replica.receive(2, VoteResponse(2, False, True))
            self.turn()
            for _ in range(2):  # the term's first entry, and then the gateway's registration
                self.replica.receive(2, AppendResponse(2, True, self.replica.raft.log.last_index))
                self.turn()
        assert self.replica.is_leader

    def write(self, op: list[object]) -> None:
        self.replica.submit_write(None, [op])
        self.turn()
        self.turn()
