"""Faults of administration: leadership handed over, members removed, and requests that must be
refused."""

from __future__ import annotations

from counter_node.raft import quorum
from counter_node.raft.alone import why_not_alone
from counter_node.raft.fitness import Busy, NotReady
from counter_node.raft.membership import ChangeRefused
from counter_node.raft.types import (
    ChangeKind,
    MembershipChange,
    Removal,
)

from tests.simulation.faults import Faults
from tests.simulation.invariants import Broken
from tests.simulation.node import Node

NOTICED_MS = 300
"""Two election timeouts and a little: then a leader knows who is silent, where messages take no
longer than usual."""
LONGEST_DELAY_MS = 1_000


class MemberFaults(Faults):
    def transfer(self) -> object:
        leader = self.world.leader()
        if (
            leader is None
            or leader.paused
            or leader.replica is None
            or leader.replica.raft.leadership is None
        ):
            return None
        try:
            to = leader.replica.raft.leadership.transfer(0)
        except (ChangeRefused, Busy):
            return None
        leader.wake()
        return leader.id, to

    def membership(self) -> object:
        """Sometimes replace a node by a new one, as the operator does after a lost disk."""
        leader = self.world.leader()
        if leader is None or leader.replica is None:
            return None
        others = [m for m in leader.replica.raft.membership.members if m.id != leader.id]
        if len(others) >= self.plan.size and self.random.random() < 0.7:
            victim = self.random.choice(others).id
            if propose(leader, MembershipChange(ChangeKind.REMOVE, victim)):
                self.world.at(500, lambda: self._bury(victim))
                return f"remove {victim}"
        elif len(others) < self.plan.size + 1:
            node = self.world.new_node()
            node.start()
            return f"new {node.id}"
        return None

    def administrator(self) -> object:
        """Somebody has any member removed at any moment. What the leader takes must leave a
        majority of members that run."""
        leader = self.world.leader()
        if leader is None or leader.replica is None:
            return None
        membership = leader.replica.raft.membership
        if len(membership.voters()) < 3:
            return None
        members = [m.id for m in membership.members]
        running = [n for n in members if n != leader.id and self.world.nodes[n].up]
        victim = self.random.choice(running if running and self.random.random() < 0.8 else members)
        if not propose(leader, MembershipChange(ChangeKind.REMOVE, victim)):
            return f"refused {victim}"
        left = membership.voters() - {victim}
        noticed_ms = NOTICED_MS + (LONGEST_DELAY_MS if self.plan.weather_ms else 0)
        dead = {n for n in left if self.world.nodes[n].down_ms > noticed_ms}
        if victim in membership.voters() and len(left) - len(dead) < quorum.majority(len(left)):
            raise Broken(
                f"live majority: n{leader.id} removes {victim}, and of {sorted(left)} these are "
                f"down: {sorted(dead)}\n{self.world.state()}"
            )
        self.world.new_node().start()
        self.world.at(500, lambda: self._bury(victim))
        return f"remove {victim}"

    def slander(self) -> object:
        """A peer with an old history, or a strange one, tells a node that it was removed. Nothing
        that is committed there says so: it must not be believed, or a member is silenced."""
        node = self._some_node()
        if node is None or node.replica is None or not node.replica.raft.log.committed:
            return None
        raft, log = node.replica.raft, node.replica.raft.log
        mine = ("a" * 16, "b" * 16)
        theirs: tuple[str, ...] = self.random.choice([mine, (), mine[:1], ("f" * 16,)])
        index = self.random.randint(1, log.committed) if theirs in (mine, ()) else 1 << 40
        term = (
            log.term(index)
            if log.offset <= index <= log.committed
            else 1
            if index <= log.committed
            else raft.term + 5
        )
        before = raft.believed_removal
        raft.hears_of_removal(Removal(node.id, term, index), mine, theirs)
        if raft.believed_removal is not before:
            raise Broken(
                f"slander: n{node.id} believes {theirs} that entry {index} of term {term} "
                f"removed it\n{self.world.state()}"
            )
        return node.id, theirs, index, term

    def last_resort(self) -> object:
        """Somebody asks a voter to go on alone. Never while it can talk to a majority that runs."""
        voters = [
            n
            for n in self.world.up_nodes()
            if n.replica is not None and n.replica.is_voter and not n.paused
        ]
        if not voters:
            return None
        node = self.random.choice(voters)
        assert node.replica is not None
        raft, world = node.replica.raft, self.world
        open_to = {
            n.id
            for n in world.up_nodes()
            if not n.paused and not {(n.id, node.id), (node.id, n.id)} & world.blocked
        }
        if not why_not_alone(raft, open_to) and len(open_to & raft.voters) >= quorum.majority(
            len(raft.voters)
        ):
            raise Broken(
                f"last resort: n{node.id} may go on alone, and talks to {sorted(open_to)} of "
                f"{sorted(raft.voters)}\n{world.state()}"
            )
        return node.id, sorted(open_to)

    def _bury(self, victim: int) -> None:
        leader = self.world.leader()
        if (
            leader is not None
            and leader.replica is not None
            and victim in leader.replica.raft.membership.removed
        ):
            node = self.world.nodes[victim]
            if node.up:
                node.crash()


def propose(leader: Node, change: MembershipChange) -> bool:
    assert leader.replica is not None
    leadership = leader.replica.raft.leadership
    if leader.paused or leadership is None:
        return False
    try:
        leadership.propose_change(change)
    except (ChangeRefused, Busy, NotReady):
        return False
    leader.wake()
    return True
