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

from counter_node.raft import messages as m
from counter_node.raft.fitness import Busy, NotReady
from counter_node.raft.membership import ChangeRefused
from counter_node.raft.types import (
    ChangeKind,
    Member,
    MembershipChange,
    SnapshotMeta,
)

from tests.support.unit.raft_network import membership
from tests.support.unit.raft_stage import Node, Stage
from tests.support.unit.raft_text import describe, show

MOST_STEPS = 500


class Cluster(Stage):
    """Each `do_…` method is one command of a script."""

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

    def do_sync(self, name: str) -> None:
        """What is being written is durable; what waited for that leaves."""
        self.finish(self.node(name))

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
