"""A whole cluster in one process, in virtual time, from one seed: what is simulated is the network,
the disks, the clocks and the clients; what runs on them is the production code (Replica: Raft core,
state machine, gateway).

Everything happens as an event in one heap ordered by (time, sequence); all randomness comes from
one generator. The same seed gives the same run to the byte (`World.trace_hash`). Messages are
encoded and decoded as on the wire, so no object is ever shared between two nodes."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import heapq
import random
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from counter_node.counters import dump, effects, execution, keyspace, restore, state
from counter_node.raft.types import HardState, Member, NodeId, Snapshot
from counter_node.replica import applying
from counter_node.replica.disk_jobs import DiskJob
from counter_node.replica.founding import first_snapshot
from counter_node.replica.peer_messages import Forward, PeerMessage
from counter_node.views.status import role_of

from tests.simulation.invariants import Invariants
from tests.simulation.node import Node

_encode = msgspec.msgpack.Encoder().encode


@contextlib.contextmanager
def small_slices() -> Iterator[None]:
    """So that a storm of the simulator's size takes many."""
    small = [
        *(
            (state, "SLICE", 2),
            (execution, "SLICE", 5),
            (execution, "_PIECE", 3),
            (effects, "PIECE", 3),
        ),
        *((restore, "PIECE", 4), (applying, "MAX_APPLY_WORK", 40)),
        *((state, "JUMP_PIECE", 1), (dump, "PIECE", 2), (keyspace, "MOST_PER_BUCKET", 3)),
    ]
    before = [getattr(module, name) for module, name, _ in small]
    for module, name, value in small:
        setattr(module, name, value)
    try:
        yield
    finally:
        for (module, name, _), value in zip(small, before, strict=True):
            setattr(module, name, value)


@dataclasses.dataclass
class Weather:
    """How bad the world is; all probabilities per event."""

    drop: float = 0.0
    duplicate: float = 0.0
    delay_ms: tuple[float, float] = (0.2, 2.0)
    long_delay: float = 0.0  # chance of a message that takes up to a second
    sync_ms: tuple[float, float] = (0.1, 1.0)
    slow_sync: float = 0.0  # chance of a sync that takes up to three seconds


class World:
    def __init__(self, seed: int, real_storage: bool = False, leases: bool = False) -> None:
        self.seed = seed
        self.leases = leases
        self.real_storage = real_storage
        self.story: list[str] | None = None  # for a failing seed: what happened, in words
        self.random = random.Random(seed)
        self.now = 0.0
        self.weather = Weather()
        self.invariants = Invariants(self)
        self.nodes: dict[NodeId, Node] = {}
        self.blocked: set[tuple[NodeId, NodeId]] = set()
        self.late: dict[
            tuple[NodeId, NodeId], float
        ] = {}  # connections that say nothing until then though the network is whole
        self.events = 0
        self.on_node_down: list[Callable[[Node], None]] = []
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0
        self._trace = hashlib.blake2b(digest_size=8)
        self._next_id = 1

    def found(self, size: int) -> None:
        """A new cluster as the operator makes it: one bootstrapped node, the others empty and added
        one by one."""
        first = self.new_node()
        first.disk.open()
        snapshot = first_snapshot(
            self.member(first.id, voter=True), began_ms=first.clocks.wall_ms()
        )
        first.disk.save(snapshot)
        first.disk.write(DiskJob(HardState(1, 0, 1), [], None, snapshot.meta, []), None)
        first.disk.crash(None, None)
        first.start()
        for _ in range(size - 1):
            self.new_node().start()

    def new_node(self) -> Node:
        node = Node(self, self._next_id)
        self._next_id += 1
        self.nodes[node.id] = node
        return node

    @staticmethod
    def member(node_id: NodeId, *, voter: bool) -> Member:
        return Member(node_id, f"n{node_id}", f"n{node_id}:7000", f"n{node_id}:6379", voter)

    # --- time -------------------------------------------------------------------------------------

    def at(self, delay_ms: float, action: Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (self.now + delay_ms, self._sequence, action))

    def run(self, until_ms: float, done: Callable[[], bool] | None = None) -> None:
        """Whatever goes in slices goes in tiny ones meanwhile."""
        with small_slices():
            self._run(until_ms, done)

    def _run(self, until_ms: float, done: Callable[[], bool] | None) -> None:
        while self._heap and self._heap[0][0] <= until_ms:
            self.now, _, action = heapq.heappop(self._heap)
            self.events += 1
            action()
            if done is not None and done():
                return
        self.now = max(self.now, until_ms)

    def skip(self, ms: float) -> None:
        """So much time goes by in which nothing happens: what is to come, comes as much later."""
        self.now += ms
        self._heap = [(at + ms, number, action) for at, number, action in self._heap]

    def trace(self, *what: Any) -> None:
        self._trace.update(repr((round(self.now, 4), *what)).encode())
        if self.story is not None and what[0] != "send":
            self.story.append(f"{self.now:10.2f} ms  " + " ".join(map(str, what)))

    def trace_hash(self) -> str:
        return self._trace.hexdigest()

    # --- network and disk -------------------------------------------------------------------------

    def send(self, sender: Node, to: NodeId, message: PeerMessage) -> None:
        data = _encode(message)
        self.trace("send", sender.id, to, data)
        weather = self.weather
        if (
            not self.link_works(sender.id, to)
            or to not in self.nodes
            or self.random.random() < weather.drop
        ):
            return
        copies = 2 if self.random.random() < weather.duplicate else 1
        if isinstance(message, Forward):
            copies = 1  # a link brings it once at most, and a refusal of it says so to clients
        for _ in range(copies):
            delay = self.random.uniform(*weather.delay_ms)
            if self.random.random() < weather.long_delay:
                delay = self.random.uniform(1, 1_000)
            self.at(delay, lambda: self._arrive(sender.id, to, data))

    def _arrive(self, sender: NodeId, to: NodeId, data: bytes) -> None:
        node = self.nodes.get(to)
        if node is not None and (sender, to) not in self.blocked:
            node.receive(sender, data)

    def cut(self, pairs: set[tuple[NodeId, NodeId]], for_ms: float) -> None:
        """All packets of these are dropped, without a word. What TCP has not got acknowledged it
        sends again ever more slowly: the connections that there are stay silent for as long again,
        unless somebody dials again."""
        self.blocked |= pairs
        whole = self.now + for_ms
        for sender, to in pairs:
            for link in ((sender, to), (to, sender)):  # the other one's acknowledgements
                self.late[link] = max(self.late.get(link, 0.0), whole + for_ms)
        self.at(for_ms, lambda: self.blocked.difference_update(pairs))

    def link_works(self, sender: NodeId, to: NodeId) -> bool:
        return (sender, to) not in self.blocked and self.late.get((sender, to), 0.0) <= self.now

    def dial(self, sender: NodeId, to: NodeId) -> bool:
        node = self.nodes.get(to)
        if (
            node is None
            or not node.up
            or node.paused
            or {(sender, to), (to, sender)} & self.blocked
        ):
            return False
        self.late.pop((sender, to), None)
        return True

    def sync_delay(self) -> float:
        if self.random.random() < self.weather.slow_sync:
            return self.random.uniform(10, 3_000)
        return self.random.uniform(*self.weather.sync_ms)

    def save_delay(self, snapshot: Snapshot | None) -> float:
        """Snapshots' files take longer than a frame: long enough that much else happens
        meanwhile."""
        return self.random.uniform(0, 300) if snapshot is not None else 0.0

    def node_down(self, node: Node) -> None:
        self.trace("down", node.id)
        for callback in self.on_node_down:
            callback(node)

    # --- questions --------------------------------------------------------------------------------

    def up_nodes(self) -> list[Node]:
        return [n for n in self.nodes.values() if n.up]

    def leader(self) -> Node | None:
        """The leader of the newest term, if any node leads."""
        leaders = [n for n in self.nodes.values() if n.replica is not None and n.replica.is_leader]
        return max(leaders, key=lambda n: n.replica.raft.term, default=None)  # type: ignore[union-attr]

    def state(self) -> str:
        """For a failing seed: one line for each node."""
        lines = []
        for node in self.nodes.values():
            if node.replica is None:
                lines.append(f"n{node.id} down")
                continue
            raft = node.replica.raft
            log = raft.log
            lines.append(
                f"n{node.id} {role_of(node.replica)} term={raft.term} leader={raft.leader} "
                f"log=({log.offset},{log.last_index}] "
                f"commit={log.committed} applied={log.applied} voters={sorted(raft.voters)} "
                f"job={node.job is not None} paused={node.paused}"
            )
        return "\n".join(lines)
