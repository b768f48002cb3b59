"""What a gateway hands to the leader, and what the leader does with it. Pure.

A leader appends a body, or not yet (it hands over, or does not know the time or the room on the
others' disks), or not at all for want of room. A gateway elsewhere hears of the last of these
only (`NotTaken`), so that its clients are refused rather than left to wait."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from counter_node.counters import batches
from counter_node.counters.machine import Machine
from counter_node.raft.core import Raft
from counter_node.raft.types import NONE, NodeId
from counter_node.replica.admission import Admission
from counter_node.replica.bundles import Route
from counter_node.replica.disk_room import body_on_disk
from counter_node.replica.gateway import Gateway
from counter_node.replica.group_room import GroupRoom
from counter_node.replica.log_time import LogTime
from counter_node.replica.peer_messages import Forward, NotTaken, PeerMessage
from counter_node.replica.tail import Tail
from counter_node.replica.time_entries import TimeEntries


class Replicated(Protocol):
    """What offers need of the replica."""

    raft: Raft
    gateway: Gateway
    time: LogTime
    time_entries: TimeEntries
    group_room: GroupRoom

    @property
    def machine(self) -> Machine: ...

    def send(self, to: NodeId, message: PeerMessage) -> None: ...


class Offers:
    def __init__(self, replica: Replicated, admission: Admission) -> None:
        self._replica, self._admission = replica, admission
        self._raft, self._gateway = replica.raft, replica.gateway
        self._room, self._tail = replica.group_room, Tail()
        self._link_changes: Counter[NodeId] = Counter()
        self.in_vain = False
        """The gateway's batch or session, in the last turn."""

    def link_changed(self, node: NodeId) -> None:
        """What was sent to it may not have arrived."""
        self._link_changes[node] += 1

    @property
    def route(self) -> Route:
        leader = self._raft.leader
        return leader, self._raft.term, self._link_changes[leader]

    # --- the gateway's side -----------------------------------------------------------------------

    def offer(self, route: Route) -> None:
        """Hand the gateway's batch to the leader, which may be this node."""
        gateway = self._gateway
        gateway.level = self._replica.machine.level
        while (body := gateway.proposal(route)) is not None and not self._handed(body):
            gateway.not_sent()
            if not self._lacks_room(body) or not gateway.refuse(self._admission.no_room(body)):
                self.in_vain = True
                return

    def _handed(self, body: bytes) -> bool:
        if self._raft.leadership is not None:
            return self.propose(body)
        sent_before = self._gateway.sent_before
        if not sent_before and not self._room.has_for(body):
            return False
        self._replica.send(self._raft.leader, Forward(body, self._gateway.last_id))
        return True

    def not_taken(self, message: NotTaken) -> None:
        body = self._gateway.take_back(message.id)
        if body is not None:
            self._gateway.refuse(self._admission.no_room(body))

    # --- the leader's side ------------------------------------------------------------------------

    def propose(self, body: bytes, origin: NodeId = NONE) -> bool:
        """False: it is to be tried again later. A gateway's body that is in the log already counts
        as proposed."""
        raft, leadership, replica = self._raft, self._raft.leadership, self._replica
        if leadership is None or replica.time_entries.unknown() or not self._room.known:
            return False
        there = self._tail.index_of(raft, body, replica.machine.last_number)
        if there is not None:
            leadership.wanted(origin, there)
            return True
        if not self._room.has_for(body):
            return False
        if not raft.propose(batches.stamp(replica.time.stamp(), body), origin):
            return False
        self._room.take(body_on_disk(body))
        self._tail.appended(raft, body)
        return True

    def forwarded(self, sender: NodeId, message: Forward) -> None:
        # Who was removed hears nothing of the log any more, and would send its last batch for ever.
        if self._raft.membership.get(sender) is None or self.propose(message.body, sender):
            return
        if message.id and self._raft.leadership is not None and self._lacks_room(message.body):
            self._replica.send(sender, NotTaken(message.id))

    def _lacks_room(self, body: bytes) -> bool:
        known = self._raft.leadership is None or self._room.known
        return known and not self._room.has_for(body)
