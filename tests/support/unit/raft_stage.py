"""What scripts for the core act on: nodes with a disk each, and a network in which messages wait.

Nothing happens by itself: `Stage` has one method for each step that a node or the network can take,
and says in a line what came of it. raft_scripts.py has the commands."""

from __future__ import annotations

import msgspec
from counter_node.raft import messages as m
from counter_node.raft.core import Persist, Raft
from counter_node.raft.lease import Promise
from counter_node.raft.state import Config
from counter_node.raft.types import (
    Entry,
    EntryKind,
    HardState,
    MembershipChange,
    NodeId,
    SnapshotMeta,
)

from tests.support.unit.raft_text import Letter, describe, members, show, wrote

PIECE_BYTES = 8


class Node:
    """One core with its disk and its state machine, which only remembers what it applied."""

    def __init__(self, stage: Stage, node: NodeId, start: SnapshotMeta | None) -> None:
        self.stage = stage
        self.id = node
        self.hard_state = HardState(1, 0, start.index) if start is not None else HardState()
        self.files = {start: b"|"} if start is not None else {}
        self.snapshot = start or SnapshotMeta()
        self.entries: list[Entry] = []  # on disk, what is kept behind the snapshot included
        self.boot()

    def boot(self) -> None:
        stage = self.stage
        promise = (
            Promise(lambda: stage.clock_ms, stage.config["election_ticks"] * 100)
            if stage.leases
            else None
        )
        self.raft = Raft(
            Config(self.id, **stage.config),
            self.hard_state,
            self.snapshot,
            self.entries,
            lambda low, high: low,
            promise,
        )
        self.applied = self.files.get(self.snapshot, b"|").decode()
        self.writing: Persist | None = None
        self.seen = self.view()

    def view(self) -> tuple[str, int, NodeId, str]:
        r = self.raft
        return (str(r.role), r.term, r.leader, members(r.membership.members))

    def write(self, persist: Persist) -> None:
        if persist.hard_state is not None:
            self.hard_state = persist.hard_state
        if persist.snapshot is not None:
            self.snapshot, self.entries = persist.snapshot, []
        if persist.entries:
            self.entries = [
                e for e in self.entries if e.index < persist.entries[0].index
            ] + persist.entries


class Stage:
    """Nodes, network and clock. `say` writes a line of output."""

    def __init__(self) -> None:
        self.nodes: dict[NodeId, Node] = {}
        self.network: list[Letter] = []
        self.cuts: set[tuple[NodeId, NodeId]] = set()
        self.config: dict[str, int] = {}
        self.leases = False
        self.clock_ms = 0.0
        self.lines: list[str] = []
        self.quiet = False

    def say(self, text: str) -> None:
        if not self.quiet:
            self.lines.append(text)

    def watch(self) -> None:
        """Tells what changed in any node."""
        for node in self.nodes.values():
            role, term, leader, who = now = node.view()
            if now != node.seen:
                news = f"n{node.id} is {role}, term {term}, " + (
                    f"leader n{leader}" if leader else "no leader"
                )
                self.say(news + ("" if who == node.seen[3] else f", members {who}"))
                node.seen = now

    def begin(self, node: Node) -> bool:
        """The node begins to write what it has, if nothing is being written."""
        if node.writing is not None:
            return False
        if (arrived := node.raft.arrived) is not None:
            node.files[arrived.meta] = arrived.state
            node.raft.adopt(arrived)
        persist = node.raft.take_persist()
        if persist is None:
            return False
        node.writing = persist
        if persist.hard_state is not None:
            self.say(f"n{node.id} writes " + ", ".join(wrote(persist)))
        return True

    def finish(self, node: Node) -> bool:
        """What is being written is durable; what waited for that leaves."""
        if node.writing is None:
            return False
        persist, node.writing = node.writing, None
        node.write(persist)
        for to, message in persist.after:
            if to == node.id:
                node.raft.step(to, message)
            else:
                self.post(node.id, to, message)
        return True

    def turn(self, node: Node) -> bool:
        """The node applies what is committed and sends what it has to send."""
        raft = node.raft
        moved = False
        restored = raft.take_restore()
        if restored is not None:
            node.applied = restored.state.decode()
            self.lines.append(
                f"n{node.id} goes on from the snapshot at {restored.meta.index}: {node.applied}"
            )
        for entry in raft.take_committed(1 << 20):
            moved = True
            if entry.kind is EntryKind.CONFIG:
                raft.apply_change(
                    msgspec.msgpack.decode(entry.data, type=MembershipChange),
                    entry.term,
                    entry.index,
                )
            elif entry.kind is EntryKind.DATA:
                node.applied += entry.data.decode() + "|"
            raft.applied_to(entry.index)
            self.say(f"n{node.id} applies {show(entry)}")
        for number, index in raft.take_reads():
            self.lines.append(f"n{node.id} may answer read {number} at {index}")
        for to, message in raft.take_messages():
            moved = True
            self.post(node.id, to, message)
        return moved

    def post(self, sender: NodeId, to: NodeId, message: m.Message) -> None:
        if isinstance(message, m.InstallSnapshot):
            state = self.nodes[sender].files.get(message.meta)
            if state is None:
                self.say(f"n{sender} has the snapshot at {message.meta.index} no more")
                leadership = self.nodes[sender].raft.leadership
                assert leadership is not None
                leadership.snapshot_gone(to)
                return
            end = message.offset + PIECE_BYTES
            message = msgspec.structs.replace(
                message, data=state[message.offset : end], last=end >= len(state)
            )
        self.network.append((sender, to, message))

    def deliver(self, letter: Letter) -> None:
        sender, to, message = letter
        lost = (sender, to) in self.cuts or to not in self.nodes
        self.say(describe(letter) + (" lost" if lost else ""))
        if not lost:
            self.nodes[to].raft.step(sender, message)
