"""What breaks, and when. All faults of a run are drawn beforehand, each with randomness of its own,
so that leaving some out changes no other: that is what the shrinker needs."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from counter_node.counters import ops
from counter_node.counters.batches import LimitsRow
from counter_node.raft import quorum
from counter_node.raft.alone import why_not_alone
from counter_node.raft.leadership import Busy, NotReady
from counter_node.raft.membership import ChangeRefused
from counter_node.raft.types import (
    ChangeKind,
    Member,
    Membership,
    MembershipChange,
    NodeId,
    Removal,
)

from tests.simulation.clocks import HOUR_MS, YEAR_2040_MS
from tests.simulation.invariants import MOST_KEYS_OF_A_USER, Broken
from tests.simulation.world import Node, Weather, World

if TYPE_CHECKING:
    from tests.simulation.scenario import Plan

NOTICED_MS = 300
"""Two election timeouts and a little: then a leader knows who is silent, where messages take no
longer than usual."""
LONGEST_DELAY_MS = 1_000
CALM_MS = 2_000
"""At the beginning, for the cluster to form."""


STORM_BYTES = 12_000
"""Room for some forty counters: storms go over it now and then, increments of what exists never
notice."""


TENANTS = (b"t1", b"t2")


def _nobody(_replies: object) -> None:
    """Waits for a storm's answer."""


@dataclasses.dataclass(frozen=True)
class Fault:
    number: int
    at_ms: float
    kind: str

    def __str__(self) -> str:
        return f"fault {self.number} at {self.at_ms:.0f} ms: {self.kind}"


def draw(seed: int, plan: Plan) -> list[Fault]:
    """The faults of a run, in order of time."""
    found: list[tuple[float, str]] = []
    for kind, mean_ms in plan.rates().items():
        chance = random.Random(f"{seed}/{kind}")
        at = float(CALM_MS)
        while mean_ms and (at := at + chance.expovariate(1 / mean_ms)) < plan.duration_ms:
            found.append((at, kind))
    return [Fault(number, at, kind) for number, (at, kind) in enumerate(sorted(found))]


class Nemesis:
    def __init__(self, world: World, plan: Plan, faults: Iterable[Fault]) -> None:
        self.world, self.plan, self.active = world, plan, True
        self.random = random.Random()
        for fault in faults:
            world.at(fault.at_ms - world.now, lambda fault=fault: self._strike(fault))  # type: ignore[misc]

    def _strike(self, fault: Fault) -> None:
        if self.active:
            self.random.seed(f"{self.world.seed}/{fault.number}")
            action: Callable[[], object] = getattr(self, fault.kind)
            self.world.trace("fault", fault.number, fault.kind, action())

    def _some_node(self) -> Node | None:
        up = self.world.up_nodes()
        leader = self.world.leader()
        if leader is not None and self.random.random() < 0.5:
            return leader
        return self.random.choice(up) if up else None

    # --- each returns what it did, for the trace --------------------------------------------------

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

    def _cut(self, cut: set[tuple[int, int]], for_ms: float) -> None:
        self.world.cut(cut, for_ms)

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

    def storm(self) -> object:
        """Through some node: many counters that are due at one time, with others that a transaction
        deletes or counts while they are due; some under a producer, below a limit of bytes."""
        world, r = self.world, self.random
        node = self._some_node()
        if node is None or node.replica is None:
            return None
        names = [b"storm:%d" % r.randrange(60) for _ in range(r.randrange(1, 40))]
        due_ms = r.choice([1, 50, 400, 2_000])
        op: list[object] = [
            ops.MULTI,
            [[ops.SET, name, 1, ops.ALWAYS, None, ops.EX_IN, due_ms, False] for name in names],
        ]
        if r.random() < 0.4:
            op = r.choice(
                [
                    [ops.DEL, names],
                    [ops.MULTI, [ops.incr(name) for name in names]],
                    [ops.MSET, [x for n in names for x in (n, 2)], True],
                ]
            )
        if r.random() < 0.3:
            op = ops.idmp_of(
                b"user:%d" % r.randrange(3), b"storm:%d" % r.randrange(4), r.randrange(1, 5), op
            )
        for each in world.nodes.values():
            if each.replica is not None:
                each.max_bytes = each.replica._max_bytes = STORM_BYTES
        node.request(lambda found: found.replica and found.replica.submit_write(_nobody, [op]))
        return node.id, len(names), due_ms

    def tenant(self) -> object:
        """Through some node: a user with a limit makes counters and deletes them. Now and then the
        limit is another one, which each node hears of at another time."""
        world, r = self.world, self.random
        if r.random() < 0.2:
            users = r.sample(TENANTS, r.randint(1, 2))
            rows = tuple(
                (u, r.randint(0, MOST_KEYS_OF_A_USER), r.choice([None, 2_000]))
                for u in sorted(users)
            )
            for node in world.nodes.values():
                world.at(r.uniform(0, 1_000), lambda node=node: self._hear(node, rows))  # type: ignore[misc]
            return rows
        found, user = self._some_node(), r.choice(TENANTS)
        if found is None:
            return None
        names = [b"tenant:%d" % r.randrange(40) for _ in range(r.randrange(1, 12))]
        inner: object = r.choice([
            [ops.MULTI, [ops.incr(name) for name in names]], [ops.MSET,
            [x for n in names for x in (n, 2)], False],
            ops.incr(names[0]), [ops.DEL, names], [ops.EXPIRE, names[0], ops.EX_IN, r.choice([50,
            900]), ops.ALWAYS],
        ])  # fmt: skip
        op = ops.as_user(user, inner)
        if r.random() < 0.2:
            op = ops.idmp_of(user, b"tenant:%d" % r.randrange(4), r.randrange(1, 5), inner)
        found.request(lambda node: node.replica and node.replica.submit_write(_nobody, [op]))
        return found.id, op

    @staticmethod
    def _hear(node: Node, rows: tuple[LimitsRow, ...]) -> None:
        node.user_limits = rows
        if node.replica is not None:
            node.replica.user_limits = rows

    def snapshot(self) -> object:
        node = self._some_node()
        if node is None:
            return None
        node.take_snapshot()
        return node.id

    def flap(self) -> object:
        """A link is closed and made anew, some times: both ends are told, what is under way is lost
        or not, and batches are sent again."""
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
        """The volume of a node is full, sometimes that of all; later there is room again."""
        some = self._some_node()
        nodes = (
            list(self.world.nodes.values())
            if self.random.random() < 0.2
            else [some]
            if some is not None
            else []
        )
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
        before = raft.told_removed
        raft.hears_of_removal(Removal(node.id, term, index), mine, theirs)
        if raft.told_removed is not before:
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
