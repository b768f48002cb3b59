"""What a leader puts in force for the whole cluster: the level that all members know, the history,
and its own limits. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from counter_node.counters import batches
from counter_node.counters.levels import BYTES_LEVEL, HISTORY_LEVEL, LIMITS_LEVEL, USERS_LEVEL
from counter_node.counters.machine import Machine
from counter_node.raft.core import Raft
from counter_node.raft.types import NodeId


class Wanted(msgspec.Struct):
    """What this node, when it leads, wants in force. None: whatever is."""

    limits: batches.Limits | None = None
    max_bytes: int | None = None
    user_limits: tuple[batches.LimitsRow, ...] | None = None


class Proposer(Protocol):
    raft: Raft

    def propose(self, body: bytes) -> bool: ...


class Governor:
    def __init__(
        self, node: Proposer, knows: int, wanted: Wanted, randint: Callable[[int, int], int]
    ) -> None:
        """`knows`: the level of this version."""
        self.knows, self.wanted = knows, wanted
        self._raft, self._propose, self._randint = node.raft, node.propose, randint
        self._proposed = (0, 0)  # term and index of the last of these entries

    def govern(self, machine: Machine, known: Mapping[NodeId, int]) -> None:
        """A leader's, once a tick, with the level that each member knows whose greeting still
        holds."""
        raft = self._raft
        if self._proposed[0] == raft.term and self._proposed[1] > raft.log.applied:
            return
        members = raft.membership.members
        common = min(self.knows if m.id == raft.id else known.get(m.id, 0) for m in members)
        body = self._due(machine, common)
        if body is not None and self._propose(batches.encode(body)):
            self._proposed = (raft.term, raft.log.last_index)

    def _due(self, machine: Machine, common: int) -> Any:
        """The first entry that is not in force yet."""
        level, wanted = machine.level, self.wanted
        if common > level:
            return batches.Level(common)
        if level >= HISTORY_LEVEL and not machine.lineage:
            return batches.Begin(f"{self._randint(0, (1 << 64) - 1):016x}")
        if level >= LIMITS_LEVEL and wanted.limits not in (None, machine.limits):
            return wanted.limits
        if level >= BYTES_LEVEL and wanted.max_bytes not in (None, machine.max_bytes):
            return batches.Bytes(wanted.max_bytes or 0)
        if level >= USERS_LEVEL and wanted.user_limits not in (None, machine.user_limits):
            return batches.UserLimits(wanted.user_limits or ())
        return None
