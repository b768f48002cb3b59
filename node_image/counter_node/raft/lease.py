"""Reads without a round of messages, opt-in (thesis 6.4.1). ReadIndex needs no clock; a lease
trusts two, and is off unless asked for.

Every voter promises, whenever it hears a leader, to vote for nobody else for `promise_ms` of its
own clock. It keeps that promise when its link to the leader closes, and, not knowing what it
promised before, for `promise_ms` after a start. A leader whose heartbeat was echoed with the
promise by a majority therefore knows that nobody else leads for `promise_ms` from when it *sent*
that heartbeat; it uses 90 % of that.

The assumption: over one `promise_ms`, the clocks of any two members run apart by less than `DRIFT`.
The clock must go on while the machine sleeps (CLOCK_BOOTTIME); jumps of the time of day do not
matter. Where this is not certain, leave leases off.

A handover breaks promises on purpose, so a leader that has asked anyone to take over uses no lease
any more. A changed membership begins again: promises of the old majority say nothing about the new
one. The price: a leader that was killed is replaced only after the promises ran out, not as soon as
its link closes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection

from counter_node.raft import quorum
from counter_node.raft.types import NodeId

DRIFT = 0.1


class Promise:
    """The voter's part."""

    def __init__(self, clock_ms: Callable[[], float], promise_ms: int) -> None:
        self.clock_ms = clock_ms
        self.promise_ms = promise_ms
        self._until_ms = (
            clock_ms() + promise_ms
        )  # what was promised before a restart is not known any more

    def renew(self) -> None:
        self._until_ms = self.clock_ms() + self.promise_ms

    def binds(self) -> bool:
        return self.clock_ms() < self._until_ms


class Lease:
    """The leader's part, for one term."""

    def __init__(self, promise: Promise, leader: NodeId) -> None:
        self._clock_ms = promise.clock_ms
        self._promise_ms = promise.promise_ms
        self._leader = leader
        self._rounds: deque[tuple[int, float]] = deque()  # (position, when it was sent)
        self._echoed: dict[NodeId, int] = {}
        self._since_ms: float | None = None
        self._given_up = False

    def sent(self, position: int) -> None:
        self._rounds.append((position, self._clock_ms()))

    def echoed(self, node: NodeId, position: int, promise_ms: int) -> None:
        """A voter without leases, or with shorter ones, promises nothing that we could use."""
        if promise_ms >= self._promise_ms:
            self._echoed[node] = max(position, self._echoed.get(node, 0))

    def valid(self, voters: Collection[NodeId]) -> bool:
        if self._given_up:
            return False
        if self._rounds:
            self._echoed[self._leader] = self._rounds[-1][0]
            up_to = quorum.acknowledged(voters, self._echoed)
            while self._rounds and self._rounds[0][0] <= up_to:
                self._since_ms = self._rounds.popleft()[1]
        return (
            self._since_ms is not None
            and self._clock_ms() < self._since_ms + (1 - DRIFT) * self._promise_ms
        )

    def begin_again(self) -> None:
        self._rounds.clear()
        self._since_ms = None

    def give_up(self) -> None:
        self._given_up = True
