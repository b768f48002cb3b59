"""Clients' commands on their way to the gateway: what a failed or full disk refuses, and what
members of an older version do not know. Pure."""

from __future__ import annotations

from counter_node.counters.batches import encode_batch
from counter_node.counters.levels import LEVEL, OWNERS_LEVEL, lowered, too_new
from counter_node.counters.ops import CONSTANT, is_write
from counter_node.counters.replies import Failure, pack
from counter_node.replica.bundles import Op, Token
from counter_node.replica.disk_room import DiskRoom
from counter_node.replica.gateway import Gateway
from counter_node.replica.group_room import GroupRoom
from counter_node.replica.refusals import (
    DISK_FAILED,
    DISK_FAILED_UNKNOWN,
    DISK_FULL,
    DISKS_FULL,
    NOT_EVEN_DELETIONS,
    NOT_WITH_IT,
    Refusal,
)
from counter_node.replica.relief import EMPTYING_BYTES, Relief, empties, relief_of, shrinks


class Admission:
    def __init__(self, gateway: Gateway, own: DiskRoom, room: GroupRoom, knows: int) -> None:
        """`knows`: the level of this version."""
        self.disk_failed = False
        self._gateway, self._own, self._room, self._knows = gateway, own, room, knows

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
        if level < max(self._knows, LEVEL) and any(refused := [too_new(op, level) for op in ops]):
            self._refuse(token, [reason or NOT_WITH_IT for reason in refused])
        else:
            self._gateway.write(token, ops, mixed=mixed)

    def _on_full_disk(self, token: Token, ops: list[Op], level: int) -> None:
        """Only what makes the state smaller goes on; the refusals of the others take their places
        among its replies."""
        now = self._room.now()
        full = self._full()
        taken = [lowered(op, level) if shrinks(op, *now) else [CONSTANT, pack(full)] for op in ops]
        if any(is_write(op) for op in taken):
            self._gateway.write(token, taken, mixed=True)
        else:
            self._refuse(token, [full] * len(ops))

    def _full(self) -> Failure:
        return DISK_FULL if self._own.full else DISKS_FULL

    def no_room(self, body: bytes) -> Refusal:
        """For the commands of an entry of this body, for which there is no room. What is of more
        use than all of it together goes on: of FLUSHALLs as many as are sure to find the last
        room."""
        now = self._room.now()
        lacking, left = relief_of(body, *now), EMPTYING_BYTES // 2

        def refusal(op: Op) -> Failure | None:
            nonlocal left
            relief = Relief.SMALLER if shrinks(op, *now) else Relief.NONE
            if empties(op) and (left := left - len(encode_batch(0, 0, [op]))) >= 0:
                relief = Relief.EMPTY
            if relief > lacking:
                return None
            return self._full() if relief is Relief.NONE else NOT_EVEN_DELETIONS

        return refusal

    def read(self, token: Token, ops: list[Op]) -> None:
        if self.disk_failed:
            self._refuse(token, [DISK_FAILED] * len(ops))
        else:
            self._gateway.read(token, ops)

    def _refuse(self, token: Token, replies: list[Failure]) -> None:
        self._gateway.replies.append((token, replies))
