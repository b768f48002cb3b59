"""What nodes say to each other."""

from __future__ import annotations

import msgspec

from counter_node.raft.messages import Message
from counter_node.replica.log_time import ClockAnswer, ClockAsk


class Forward(msgspec.Struct, array_like=True, tag=20, frozen=True, gc=False):
    """A gateway's batch on its way to the leader, which does not answer: the gateway learns its
    fate from the log. But for want of room on the disks, when it has an `id`; older gateways give
    none. A link brings it once or not at all, as it is never sent again on another."""

    body: bytes
    id: int = 0


class NotTaken(msgspec.Struct, array_like=True, tag=23, frozen=True, gc=False):
    """The leader found no room for what was forwarded as `id`, and appended nothing of it."""

    id: int


PeerMessage = Message | Forward | NotTaken | ClockAsk | ClockAnswer
