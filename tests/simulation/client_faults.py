"""Faults that clients make: storms of counters, and users at their limits."""

from __future__ import annotations

from counter_node.counters import ops
from counter_node.counters.batches import LimitsRow

from tests.simulation import scripts
from tests.simulation.faults import Faults
from tests.simulation.invariants import MOST_KEYS_OF_A_USER
from tests.simulation.node import Node

STORM_BYTES = 12_000
"""Room for some forty counters: storms go over it now and then, increments of what exists never
notice."""
TENANTS = (b"t1", b"t2")


def _nobody(_replies: object) -> None:
    """Waits for a storm's answer."""


class ClientFaults(Faults):
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
        if len(names) % 4 == 0:
            op = scripts.many(names, due_ms)
        if r.random() < 0.3:
            op = ops.idmp_of(
                b"user:%d" % r.randrange(3), b"storm:%d" % r.randrange(4), r.randrange(1, 5), op
            )
        for each in world.nodes.values():
            if each.replica is not None:
                each.max_bytes = each.replica.governor.wanted.max_bytes = STORM_BYTES
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
        if len(names) % 3 == 0:
            inner = scripts.many(names, 50)
        op = ops.as_user(user, inner)
        if r.random() < 0.2:
            op = ops.idmp_of(user, b"tenant:%d" % r.randrange(4), r.randrange(1, 5), inner)
        found.request(lambda node: node.replica and node.replica.submit_write(_nobody, [op]))
        return found.id, op

    @staticmethod
    def _hear(node: Node, rows: tuple[LimitsRow, ...]) -> None:
        node.user_limits = rows
        if node.replica is not None:
            node.replica.governor.wanted.user_limits = rows
