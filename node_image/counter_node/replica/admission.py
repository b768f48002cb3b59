"""Clients' commands on their way to the gateway: what a failed or full disk refuses, and what
members of an older version do not know. Pure."""

from __future__ import annotations

from counter_node.counters.levels import OWNERS_LEVEL, lowered, too_new
from counter_node.counters.ops import CONSTANT, is_write
from counter_node.counters.replies import Failure, pack
from counter_node.replica.bundles import Op, Token
from counter_node.replica.disk_room import DiskRoom
from counter_node.replica.gateway import Gateway
from counter_node.replica.relief import shrinks

DISK_FULL = Failure(
    b"MISCONF the disk of this node is nearly full; the command was not executed. Make room on "
    b"the volume, delete counters, or ask another node"
)
NOT_EVEN_DELETIONS = Failure(
    b"MISCONF the disk of this node is nearly full, also for deletions; the command was not "
    b"executed. Make room on the volume, ask another node, or send FLUSHALL: that still finds room"
)
DISK_FAILED = Failure(
    b"MISCONF the disk of this node failed; the command was not executed. Ask another node; this "
    b"one's log says what failed"
)
DISK_FAILED_UNKNOWN = Failure(
    b"UNKNOWN the disk of this node failed before the reply came; the command may or may not be "
    b"executed. Ask another node"
)
NOT_WITH_IT = Failure(
    b"ERR not executed, as a command of the same pipeline needs nodes that are all upgraded; "
    b"send it again without that one"
)


class Admission:
    def __init__(self, gateway: Gateway, room: DiskRoom, knows: int) -> None:
        """`knows`: the level of this version."""
        self.disk_failed = False
        self._gateway, self._room, self._knows = gateway, room, knows

    def fail_disk(self) -> None:
        """Final. Clients are answered at once, since others serve."""
        self.disk_failed = True
        self._gateway.give_up(DISK_FAILED, DISK_FAILED_UNKNOWN)

    def write(self, token: Token, ops: list[Op], level: int, *, mixed: bool) -> None:
        """`level`: the cluster's."""
        if self.disk_failed:
            self._refuse(token, [DISK_FAILED] * len(ops))
            return
        if self._room.full:
            self._on_full_disk(token, ops, level)
            return
        if level < OWNERS_LEVEL:
            ops = [lowered(op, level) for op in ops]
        if level < self._knows and any(refused := [too_new(op, level) for op in ops]):
            self._refuse(token, [reason or NOT_WITH_IT for reason in refused])
        else:
            self._gateway.write(token, ops, mixed=mixed)

    def _on_full_disk(self, token: Token, ops: list[Op], level: int) -> None:
        """Only what makes the state smaller goes on; the refusals of the others take their places
        among its replies."""
        now = self._room.now()
        taken = [
            lowered(op, level) if shrinks(op, *now) else [CONSTANT, pack(DISK_FULL)] for op in ops
        ]
        if any(is_write(op) for op in taken):
            self._gateway.write(token, taken, mixed=True)
        else:
            self._refuse(token, [DISK_FULL] * len(ops))

    def read(self, token: Token, ops: list[Op]) -> None:
        if self.disk_failed:
            self._refuse(token, [DISK_FAILED] * len(ops))
        else:
            self._gateway.read(token, ops)

    def _refuse(self, token: Token, replies: list[Failure]) -> None:
        self._gateway.replies.append((token, replies))
