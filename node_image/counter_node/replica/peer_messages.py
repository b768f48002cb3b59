"""What nodes say to each other."""

from __future__ import annotations

import msgspec

from counter_node.raft.messages import Message
from counter_node.replica.log_time import ClockAsk, ClockTell


class Forward(msgspec.Struct, array_like=True, tag=20, frozen=True, gc=False):
    """A gateway's batch on its way to the leader. Unanswered on purpose: the gateway learns its
    fate from the log."""

    body: bytes


PeerMessage = Message | Forward | ClockAsk | ClockTell
