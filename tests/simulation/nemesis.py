"""What breaks: nodes, links, disks and clocks here, members and clients in the classes that this
one is made of. A kind of fault is a method here and its rate in plan.py. At the end all is
mended."""

from __future__ import annotations

from counter_node.raft.types import (
    ChangeKind,
    Member,
    Membership,
    MembershipChange,
    NodeId,
)

from tests.simulation.client_faults import ClientFaults
from tests.simulation.clocks import HOUR_MS, YEAR_2040_MS
from tests.simulation.member_faults import MemberFaults, propose
from tests.simulation.node import Node
from tests.simulation.world import Weather, World


class Nemesis(MemberFaults, ClientFaults):
    def crash(self) -> object:
        nodes = [self._some_node()]
        if self.random.random() < 0.1:
            nodes = list(self.world.up_nodes())  # the whole cluster at once
        for node in nodes:
            if node is not None and node.up:
                node.crash()
                if self.random.random() < 0.3:
                    node.reboot()
                node.start_in(self.random.uniform(10, 3_000))
        return [node.id for node in nodes if node is not None]

    def partition(self) -> object:
        world, ids, r = self.world, list(self.world.nodes), self.random
        kind = r.random()
        if len(ids) < 2:
            return None
        if kind < 0.3:
            a, b = r.sample(ids, 2)
            cut = {(a, b)}  # one way
        else:
            leader = world.leader()
            island = (
                {leader.id}
                if kind < 0.6 and leader is not None
                else set(r.sample(ids, len(ids) // 2))
            )
            cut = {(a, b) for a in ids for b in ids if (a in island) != (b in island)}
        self._cut(cut, r.uniform(50, 4_000))
        return sorted(cut)

    def pause(self) -> object:
        node = self._some_node()
        if node is None:
            return None
        node.paused = True
        self.world.at(self.random.uniform(10, 3_000), node.resume)
        return node.id

    def zombie(self) -> object:
        """The leader is cut off and stopped long enough to be replaced, then goes on, still cut
        off, with its clients' reads waiting."""
        world, leader = self.world, self.world.leader()
        if leader is None:
            return None
        leader.paused = True
        pause = self.random.uniform(300, 1_500)
        world.at(pause, leader.resume)
        cut = {
            pair
            for other in world.nodes
            for pair in ((leader.id, other), (other, leader.id))
            if other != leader.id
        }
        self._cut(cut, pause + self.random.uniform(10, 300))
        return leader.id

    def flicker(self) -> object:
        """A node that has just voted, or otherwise is in an election, dies and is back at once."""
        candidates = [
            n for n in self.world.up_nodes() if n.replica is not None and n.replica.raft.leader == 0
        ]
        if not candidates:
            return None
        node = self.random.choice(candidates)
        node.crash()
        node.start_in(self.random.uniform(0.1, 5))
        return node.id

    def disk_error(self) -> object:
        """The next write of a node fails. It is started again later, as its keeper would."""
        node = self._some_node()
        if node is None:
            return None
        node.disk.breaks = True
        return node.id

    def skew(self) -> object:
        """A wall clock is set, stands still, or runs at another speed; another one is put right if
        a majority would be wrong otherwise."""
        world, r = self.world, self.random
        nodes = list(world.nodes.values())
        node = r.choice(nodes)
        node.clocks.set_wall(r.choice(self._walls(node)), r.choice([1.0, 1.0, 1.0, 0.0, 0.5, 2.0]))
        wrong = [n for n in nodes if n is not node and not n.clocks.right]
        most = 0 if self.plan.size == 1 else (self.plan.size - 1) // 2
        while wrong and len(wrong) >= most:
            wrong.pop(r.randrange(len(wrong))).clocks.put_right()
        return node.id, node.clocks.wall_ms()

    def _walls(self, node: Node) -> list[float | None]:
        true_ms = node.clocks.true_ms
        near = true_ms + self.random.randint(-5_000, 5_000)
        return [near, near, true_ms + 8 * HOUR_MS, true_ms - HOUR_MS, 0.0, YEAR_2040_MS, None]

    def snapshot(self) -> object:
        node = self._some_node()
        if node is None:
            return None
        node.take_snapshot()
        return node.id

    def flap(self) -> object:
        """A link is closed and made again, some times: both ends learn of it, what is under way is
        lost or not, and batches are sent again."""
        ids = self.random.sample(list(self.world.nodes), min(2, len(self.world.nodes)))
        if len(ids) < 2:
            return None
        for _ in range(self.random.randint(1, 5)):
            at = self.random.uniform(0, 200)
            for one, other in (ids, ids[::-1]):
                self.world.at(at, lambda one=one, other=other: self._link(one, other, up=False))  # type: ignore[misc]
                self.world.at(
                    at + self.random.uniform(1, 60),
                    lambda one=one, other=other: self._link(one, other, up=True),
                )  # type: ignore[misc]
        return ids

    def _link(self, one: int, other: int, *, up: bool) -> None:
        node = self.world.nodes[one]
        if node.replica is not None and not node.paused:
            (node.replica.link_up if up else node.replica.link_lost)(other)
            node.wake()

    def full_disk(self) -> object:
        """The volume of a node is full, sometimes those of all, or of all but the leader; later
        there is room again."""
        some, which = self._some_node(), self.random.random()
        nodes = [some] if some is not None else []
        if which < 0.3:
            spared = self.world.leader() if which < 0.15 else None
            nodes = [node for node in self.world.nodes.values() if node is not spared]
        for node in nodes:
            node.fill_disk(self.random.randrange(4_000))
            self.world.at(
                self.random.uniform(200, 3_000), lambda node=node: setattr(node.disk, "room", None)
            )  # type: ignore[misc]
        return [node.id for node in nodes]

    def overtake(self) -> object:
        """A node that was away needs a snapshot; while it saves it, the leader changes, and the new
        one has only a newer snapshot to give."""
        world, leader = self.world, self.world.leader()
        others = [n for n in world.up_nodes() if n is not leader]
        if leader is None or not others:
            return None
        victim = self.random.choice(others)
        away = self.random.uniform(200, 800)
        self._cut(
            {
                pair
                for other in world.nodes
                if other != victim.id
                for pair in ((victim.id, other), (other, victim.id))
            },
            away,
        )
        world.at(away - 100, self._all_take_snapshots)
        for wait in range(200):
            world.at(away + 10 * wait, lambda: self._overtake(victim))
        return victim.id

    def _overtake(self, victim: Node) -> None:
        if victim.job is not None and victim.job.install is not None:
            self._all_take_snapshots()
            self.transfer()

    def _all_take_snapshots(self) -> None:
        for node in self.world.up_nodes():
            node.take_snapshot()

    def weather(self) -> object:
        r = self.random
        self.world.weather = Weather(
            drop=r.choice([0, 0, 0.02, 0.2]),
            duplicate=r.choice([0, 0.05, 0.2]),
            delay_ms=r.choice([(0.2, 2), (0.2, 30), (5, 80)]),
            long_delay=r.choice([0, 0, 0.02]),
            sync_ms=r.choice([(0.1, 1), (1, 20), (5, 60)]),
            slow_sync=r.choice([0, 0, 0.01]),
        )
        return self.world.weather

    def mend(self) -> None:
        self.active = False
        world = self.world
        world.trace("fault", "-", "all mended", None)
        world.blocked.clear()
        world.late.clear()
        world.weather = Weather()
        for node in world.nodes.values():
            node.disk.breaks, node.disk.room = False, None
            node.clocks.put_right()
            if node.failed:
                node.crash()
            if node.up:
                node.resume()
            elif not self._is_removed(node):
                node.start()

    def _is_removed(self, node: Node) -> bool:
        leader = self.world.leader()
        return (
            leader is not None
            and leader.replica is not None
            and node.id in leader.replica.raft.membership.removed
        )


class Joiner:
    """The operator's part: every node that is up and no member becomes a learner, every learner a
    voter, one step at a time."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.at(20, self._step)

    def _step(self) -> None:
        self.world.at(100, self._step)
        leader = self.world.leader()
        if leader is None or leader.replica is None:
            return
        waiting = self._waiting(leader.replica.raft.membership)
        if waiting:
            node, member = waiting[0]
            kind = ChangeKind.PROMOTE if member is not None else ChangeKind.ADD_LEARNER
            learner = None if member is not None else self.world.member(node, voter=False)
            propose(leader, MembershipChange(kind, node, learner))

    def _waiting(self, membership: Membership) -> list[tuple[NodeId, Member | None]]:
        found = [
            (node.id, membership.get(node.id))
            for node in self.world.up_nodes()
            if node.id not in membership.removed
        ]
        return [(node, member) for node, member in found if member is None or not member.voter]

    @property
    def done(self) -> bool:
        leader = self.world.leader()
        return (
            leader is not None
            and leader.replica is not None
            and not self._waiting(leader.replica.raft.membership)
        )
