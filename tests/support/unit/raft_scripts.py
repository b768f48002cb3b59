"""Scripts for the core: commands and what they led to, as text that reads like a conversation
(docs/internals/raft-scripts.md has the words).

    # Why this script exists.
    > cluster voters=3
    > campaign 1
    > settle
      1→2 PreVote term=2 log=1/1
      …

A line that begins with `>` is a command, one that begins with `#` a comment; indented lines are
what the commands before them led to, and are made again by `pytest tests/unit/raft/test_scripts.py
--rewrite`. Nothing is random: timeouts are exactly `election_ticks`, ids count from 1, and nothing
moves unless a command moves it: messages wait in the network until delivered, a write waits until
it is synced."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import msgspec
from counter_node.raft import messages as m
from counter_node.raft.core import Persist, Raft
from counter_node.raft.fitness import Busy, NotReady
from counter_node.raft.lease import Promise
from counter_node.raft.membership import ChangeRefused
from counter_node.raft.state import Config
from counter_node.raft.types import (
    ChangeKind,
    Entry,
    EntryKind,
    HardState,
    Member,
    MembershipChange,
    NodeId,
    SnapshotMeta,
)

from tests.support.unit.raft_network import membership

PIECE_BYTES = 8
MOST_STEPS = 500
Letter = tuple[NodeId, NodeId, m.Message]


class Node:
    """One core with its disk and its state machine, which only remembers what it applied."""

    def __init__(self, cluster: Cluster, node: NodeId, start: SnapshotMeta | None) -> None:
        self.cluster = cluster
        self.id = node
        self.hard_state = HardState(1, 0, start.index) if start is not None else HardState()
        self.files = {start: b"|"} if start is not None else {}
        self.snapshot = start or SnapshotMeta()
        self.entries: list[Entry] = []  # on disk, what is kept behind the snapshot included
        self.boot()

    def boot(self) -> None:
        c = self.cluster
        promise = (
            Promise(lambda: c.clock_ms, c.config["election_ticks"] * 100) if c.leases else None
        )
        self.raft = Raft(
            Config(self.id, **c.config),
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


def members(found: tuple[Member, ...]) -> str:
    return " ".join(f"{n.id}" if n.voter else f"({n.id})" for n in found)


class Cluster:
    """What the commands act on. Each `do_…` method is one command; `say` writes a line of
    output."""

    def __init__(self) -> None:
        self.nodes: dict[NodeId, Node] = {}
        self.network: list[Letter] = []
        self.cuts: set[tuple[NodeId, NodeId]] = set()
        self.config: dict[str, int] = {}
        self.leases = False
        self.clock_ms = 0.0
        self.lines: list[str] = []
        self.quiet = False

    def run(self, line: str) -> list[str]:
        """The output of one command. Errors of the core are output too; a script that makes no
        sense raises."""
        words = line.split()
        self.quiet = words[0] == "quietly"
        if self.quiet:
            words = words[1:]
        self.lines = []
        command: Callable[..., None] = getattr(self, "do_" + words[0].replace("-", "_"))
        plain = [w for w in words[1:] if "=" not in w]
        named = dict(w.split("=", 1) for w in words[1:] if "=" in w)
        try:
            command(*plain, **named)
        except (Busy, NotReady, ChangeRefused) as refused:
            self.lines.append(f"{type(refused).__name__}: {refused}")
        except AssertionError as broken:
            self.lines.append(f"assertion: {broken}")
        self.watch()
        return self.lines

    def say(self, text: str) -> None:
        if not self.quiet:
            self.lines.append(text)

    def watch(self) -> None:
        """Tells what changed in any node."""
        for node in self.nodes.values():
            role, term, leader, who = now = node.view()
            if now != node.seen:
                told = f"n{node.id} is {role}, term {term}, " + (
                    f"leader n{leader}" if leader else "no leader"
                )
                self.say(told + ("" if who == node.seen[3] else f", members {who}"))
                node.seen = now

    def node(self, name: str) -> Node:
        return self.nodes[int(name)]

    # --- setting the scene ------------------------------------------------------------------------

    def do_cluster(
        self, voters: str, learners: str = "0", leases: str = "off", **config: str
    ) -> None:
        self.config = {"election_ticks": 10} | {k: int(v) for k, v in config.items()}
        self.leases = leases == "on"
        start = SnapshotMeta(1, 1, membership(int(voters), int(learners)))
        self.nodes = {n.id: Node(self, n.id, start) for n in start.membership.members}
        if self.leases:
            self.clock_ms = 10_000  # the promises of the start have run out

    def do_node(self, name: str) -> None:
        """A node with an empty disk."""
        self.nodes[int(name)] = Node(self, int(name), None)

    def do_cut(self, *names: str) -> None:
        """What these nodes and the others send each other is lost; `1→2` cuts one way."""
        for name in names:
            if "→" in name:
                self.cuts.add((int(name[0]), int(name[2])))
            else:
                others = [n for n in self.nodes if str(n) not in names]
                self.cuts |= {
                    pair for other in others for pair in ((int(name), other), (other, int(name)))
                }

    def do_heal(self) -> None:
        self.cuts.clear()

    # --- events of the core -----------------------------------------------------------------------

    def do_tick(self, name: str, times: str = "1") -> None:
        for _ in range(int(times)):
            self.clock_ms += 100
            for node in self.nodes.values() if name == "all" else [self.node(name)]:
                node.raft.tick()

    def do_pass(self, periods: str, *only: str) -> None:
        """Ticks of everybody, or of some, each followed by `settle`."""
        for _ in range(int(periods)):
            self.clock_ms += 100
            for node in self.nodes.values():
                if not only or str(node.id) in only:
                    node.raft.tick()
            self.do_settle(*only)

    def do_campaign(self, name: str) -> None:
        self.node(name).raft.campaign()

    def do_propose(self, name: str, *texts: str, size: str = "0") -> None:
        for text in texts or ("x" * int(size),):
            if not self.node(name).raft.propose(text.encode()):
                self.say("refused")

    def do_read(self, name: str, number: str) -> None:
        if not self.node(name).raft.read(int(number)):
            self.say("no leader is known")

    def do_transfer(self, name: str, to: str = "0") -> None:
        leadership = self.node(name).raft.leadership
        assert leadership is not None, f"n{name} does not lead"
        self.say(f"handing over to n{leadership.transfer(int(to))}")

    def do_change(self, name: str, kind: str, who: str) -> None:
        leadership = self.node(name).raft.leadership
        assert leadership is not None, f"n{name} does not lead"
        member = (
            Member(int(who), f"n{who}", f"n{who}:1", f"n{who}:2", False) if kind == "add" else None
        )
        kinds = {
            "add": ChangeKind.ADD_LEARNER,
            "promote": ChangeKind.PROMOTE,
            "remove": ChangeKind.REMOVE,
        }
        index = leadership.propose_change(MembershipChange(kinds[kind], int(who), member))
        self.say("in force already" if index is None else f"proposed at {index}")

    def do_step_down(self, name: str) -> None:
        self.node(name).raft.step_down()

    def do_link_lost(self, name: str, other: str) -> None:
        """The connection to `other` was closed, as a killed process leaves it."""
        self.node(name).raft.leader_link_lost(int(other))

    def do_unreachable(self, name: str, other: str) -> None:
        leadership = self.node(name).raft.leadership
        if leadership is not None:
            leadership.unreachable(int(other))

    def do_inject(self, sender: str, to: str, kind: str, **fields: str) -> None:
        """A message from nowhere, as an old or a mad node may send it."""
        values: dict[str, object] = {
            k: v == "yes" if v in ("yes", "no") else int(v) for k, v in fields.items()
        }
        message = getattr(m, kind)(**values)
        self.say(describe((int(sender), int(to), message)))
        self.node(to).raft.step(int(sender), message)

    # --- disks ------------------------------------------------------------------------------------

    def do_write(self, name: str) -> None:
        """The node begins to write what it has, if nothing is being written."""
        self.begin(self.node(name))

    def begin(self, node: Node) -> bool:
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

    def do_sync(self, name: str) -> None:
        """What is being written is durable; what waited for that leaves."""
        self.finish(self.node(name))

    def finish(self, node: Node) -> bool:
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

    def do_crash(self, name: str, fate: str = "lost") -> None:
        """The node dies and starts again from its disk. What was being written is `lost` or
        `kept`."""
        node = self.node(name)
        if fate == "kept" and node.writing is not None:
            node.write(node.writing)
        node.boot()
        log = node.raft.log
        self.say(
            f"n{name} starts: term {node.raft.term}, vote {node.raft.vote}, log "
            f"{log.offset}..{log.last_index}, commit {log.committed}"
        )

    def do_snapshot(self, name: str) -> None:
        """The node's state up to what it applied, durable at once, and the log compacted."""
        node = self.node(name)
        log = node.raft.log
        meta = SnapshotMeta(log.applied, log.term(log.applied), node.raft.membership)
        node.files = {meta: node.applied.encode()}
        node.snapshot = meta
        node.raft.snapshot_taken(meta)
        node.entries = [e for e in node.entries if e.index > log.offset]
        self.say(
            f"n{name} snapshot at {meta.index}, {len(node.applied)} bytes; log "
            f"{log.offset}..{log.last_index}"
        )

    # --- network ----------------------------------------------------------------------------------

    def do_turn(self, name: str) -> None:
        """The node applies what is committed and sends what it has to send."""
        self.turn(self.node(name))

    def turn(self, node: Node) -> bool:
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

    def do_network(self) -> None:
        for letter in self.network:
            self.say(describe(letter))

    def do_deliver(self, which: str = "all", count: str = "1000") -> None:
        """Messages that are under way now, all or those of one pair (`1→2`), in their order."""
        chosen = [
            letter for letter in self.network if which in ("all", f"{letter[0]}→{letter[1]}")
        ][: int(count)]
        for letter in chosen:
            self.network.remove(letter)
            self.deliver(letter)

    def deliver(self, letter: Letter) -> None:
        sender, to, message = letter
        lost = (sender, to) in self.cuts or to not in self.nodes
        self.say(describe(letter) + (" lost" if lost else ""))
        if not lost:
            self.nodes[to].raft.step(sender, message)

    def do_lose(self, which: str, count: str = "1000") -> None:
        for letter in [x for x in self.network if which in ("all", f"{x[0]}→{x[1]}")][: int(count)]:
            self.network.remove(letter)
            self.say(describe(letter) + " lost")

    def do_repeat(self, which: str) -> None:
        """The newest message of that pair comes twice."""
        self.network.append([x for x in self.network if which == f"{x[0]}→{x[1]}"][-1])

    def do_settle(self, *only: str) -> None:
        """Writes, syncs, turns and deliveries, until nothing moves any more; of all nodes or of
        some."""
        for _ in range(MOST_STEPS):
            nodes = [n for n in self.nodes.values() if not only or str(n.id) in only]
            moved = False
            for node in nodes:
                moved |= self.turn(node)
                moved |= self.begin(node)
                moved |= self.finish(node)
            letters = [x for x in self.network if not only or str(x[1]) in only]
            for letter in letters:
                self.network.remove(letter)
                self.deliver(letter)
                moved = True
            self.watch()
            if not moved:
                return
        raise RuntimeError("the cluster does not come to rest")

    # --- questions --------------------------------------------------------------------------------

    def do_state(self, *names: str) -> None:
        for node in self.nodes.values():
            if names and str(node.id) not in names:
                continue
            raft, log = node.raft, node.raft.log
            where = (
                f"term={raft.term} log={log.offset}..{log.last_index} commit={log.committed} "
                f"applied={log.applied}"
            )
            self.say(f"n{node.id} {raft.role} {where}: {node.applied}")

    def do_log(self, name: str) -> None:
        self.say(" ".join(show(e) for e in self.node(name).raft.log.entries) or "empty")

    def do_progress(self, name: str) -> None:
        leadership = self.node(name).raft.leadership
        assert leadership is not None, f"n{name} does not lead"
        for node, p in leadership.progress.items():
            if node != int(name):
                window = f" window={len(p.inflight)}/{p.inflight_bytes}B" if p.inflight else ""
                snapshot = (
                    f" snapshot={p.pending.index}@{p.received}" if p.pending is not None else ""
                )
                self.say(f"n{node} {p.pace.value} match={p.match} next={p.next}{window}{snapshot}")


def show(entry: Entry) -> str:
    if entry.kind is EntryKind.NOOP:
        text = "no-op"
    elif entry.kind is EntryKind.CONFIG:
        change = msgspec.msgpack.decode(entry.data, type=MembershipChange)
        text = f"{change.kind.name.lower().replace('_', '-')} n{change.id}"
    else:
        text = entry.data.decode() if len(entry.data) <= 12 else f"{len(entry.data)}B"
    return f"{entry.index}/{entry.term}:{text}"


def wrote(persist: Persist) -> list[str]:
    found = []
    if persist.hard_state is not None:
        found.append(
            f"term={persist.hard_state.term} vote={persist.hard_state.vote} "
            f"commit={persist.hard_state.commit}"
        )
    if persist.snapshot is not None:
        found.append(f"snapshot {persist.snapshot.index}")
    return found + [show(e) for e in persist.entries]


def describe(letter: Letter) -> str:
    sender, to, x = letter
    head = f"{sender}→{to} "
    if isinstance(x, m.VoteRequest):
        return (
            head
            + f"{'PreVote' if x.pre else 'Vote'} term={x.term} log={x.last_index}/{x.last_term}"
            + (" transfer" if x.transfer else "")
        )
    if isinstance(x, m.VoteResponse):
        return (
            head + f"{'PreVote' if x.pre else 'Vote'} term={x.term} "
            f"{'granted' if x.granted else 'refused'}"
        )
    if isinstance(x, m.Append):
        entries = " ".join(show(e) for e in x.entries)
        return (
            head + f"Append term={x.term} after={x.prev_index}/{x.prev_term} commit={x.commit} "
            f"[{entries}]"
        )
    if isinstance(x, m.AppendResponse):
        return (
            head
            + f"Append term={x.term} "
            + (
                f"ok up to {x.index}"
                if x.ok
                else f"nothing at {x.index}, try {x.hint_index}/{x.hint_term}"
            )
        )
    if isinstance(x, m.InstallSnapshot):
        return (
            head
            + f"Snapshot term={x.term} {x.meta.index}@{x.offset} {x.data.decode()!r}"
            + (" last" if x.last else "")
        )
    name = type(x).__name__
    fields = " ".join(
        f"{f}={getattr(x, f)}"
        for f in x.__struct_fields__
        if not (f == "promise_ms" and x.promise_ms == 0)
    )  # type: ignore[union-attr]
    return head + f"{name} {fields}"


@dataclasses.dataclass
class Script:
    """A script as read: pieces of (command or other line, output)."""

    text: str

    def run(self) -> str:
        """The script with its output made again."""
        cluster, found = Cluster(), []
        for line in self.text.splitlines():
            if line.startswith("  "):
                continue  # the output of another time
            found.append(line)
            if line.startswith("> "):
                found += ["  " + said for said in cluster.run(line[2:])]
        return "\n".join(found) + "\n"
