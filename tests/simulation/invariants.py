"""What must hold after every event, whatever the network, the disks and the clocks do (thesis
figure 3.2, and ours for counting).

election safety        at most one leader in a term
log matching           the entry at a committed index is the same on every node that applies it
leader completeness    a leader has every entry that was committed in an earlier term (one of an old
                       term may be elected late, and lead nobody)
never early            by what is committed log time moves on by at most 1/0.95 of true time, so no
                       counter is
                       gone before 0.95 of its time; a jump is not ahead of UTC, as a minority of
                       clocks is wrong
limits of users        what belongs to a user is what its account counts, and not more than any
limit allowed
state machine safety   equal applied index means equal state
committed prefix       what was committed once stays as it was
one copy               no leader appends a batch that its log has already
largest entry          nothing is in the log that is larger than what may be sent
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

from counter_node.counters.batches import TIME_BYTES, identity_of
from counter_node.raft.types import NONE, Entry, EntryKind, NodeId
from counter_node.replica.replica import Replica

CHECKSUM_EVERY = 16
SLACK_MS = 300.0
"""After a start of all processes: as far as clocks run apart in the seconds since their notes went
to the disk."""
JUMP_SLACK_MS = 800.0
"""Right clocks answer within a margin and half a round trip."""
MOST_KEYS_OF_A_USER = 5
"""Every limit of the simulated users is one of keys, and not above this."""
MAX_ENTRY_BYTES = 2_000
"""Of the simulated nodes: small, so that clients meet it; with batches of half of it."""


class Broken(AssertionError):
    """An invariant does not hold; the message names it."""


class Holds(Protocol):
    def holds(self, index: int, term: int) -> bool:
        """Whether this entry is durable."""


class TrueTime(Protocol):
    @property
    def true_ms(self) -> float: ...


class Member(Protocol):
    """A node as the invariants see it."""

    id: NodeId
    incarnation: int
    replica: Replica | None

    @property
    def disk(self) -> Holds: ...

    @property
    def clocks(self) -> TrueTime: ...


class Checked(Protocol):
    """The world as the invariants see it."""

    now: float

    @property
    def nodes(self) -> Mapping[NodeId, Member]: ...

    def state(self) -> str: ...

    def trace(self, *what: Any) -> None: ...


class Invariants:
    def __init__(self, world: Checked) -> None:
        self._world = world
        self._leaders: dict[int, NodeId] = {}
        self._committed: dict[int, tuple[int, int]] = {}  # index → (term, hash of kind and data)
        self._checksums: dict[int, int] = {}
        self._entries: dict[
            tuple[int, int], tuple[int, int]
        ] = {}  # (index, term) → (term before, hash of kind and data)
        self._batches: dict[
            tuple[int, tuple[int, int]], int
        ] = {}  # term and (session, number) → index
        self._reached: dict[
            tuple[NodeId, int], tuple[int, int]
        ] = {}  # node, incarnation → (committed, applied)
        self._voters: dict[NodeId, frozenset[NodeId]] = {}  # of each leader, after its last turn
        self._led: set[tuple[NodeId, int]] = set()  # node, incarnation: led after its last turn
        self._durable = 1  # index up to which a majority was seen to hold what is committed
        self._proposed: dict[tuple[int, int], float] = {}  # (term, index) → true time
        self._least = float(
            "inf"
        )  # of log time less 1/0.95 of true time, over the committed entries so far
        self._jumped_ms = 0
        self.fastest = 1 / 0.95  # of any running clock
        self._committed_by: list[
            tuple[int, int]
        ] = []  # (term, index): entries up to `index` were committed in `term` at the latest

    def watch(self, node: Member) -> None:
        """Note when a leader stamps what."""
        assert node.replica is not None
        raft = node.replica.raft
        propose = raft.propose

        def noted(data: bytes, origin: NodeId = NONE) -> bool:
            done = propose(data, origin)
            if done:
                self._proposed[raft.term, raft.log.last_index] = self._world.now
            return done

        raft.propose = noted  # type: ignore[method-assign]

    def _never_early(self, node: Member, entry: Entry) -> None:
        """Called once for each index, in their order."""
        at = self._proposed.pop((entry.term, entry.index), None)
        if at is None or node.replica is None:
            return
        machine = node.replica.machine
        jumped_ms = machine.jumps[1]
        if jumped_ms > self._jumped_ms:
            self._jumped_ms = jumped_ms
            self._not_ahead(node, entry)
        position = machine.time_ms - jumped_ms - at * self.fastest
        if position > self._least + SLACK_MS:
            by = position - self._least
            raise Broken(
                f"never early: log time is {by:.0f} ms too far at entry "
                f"{entry.index}\n{self._world.state()}"
            )
        self._least = min(self._least, position)

    def _not_ahead(self, node: Member, entry: Entry) -> None:
        """After a jump, as long as a minority of clocks is wrong, log time by the calendar is not
        ahead of UTC."""
        assert node.replica is not None
        machine = node.replica.machine
        ahead = machine.time_ms + machine.offset_ms - node.clocks.true_ms
        if ahead > JUMP_SLACK_MS:
            raise Broken(
                f"never early: the jump at entry {entry.index} is {ahead:.0f} ms too "
                f"far\n{self._world.state()}"
            )

    def applied(self, node: Member, entry: Entry) -> None:
        world = self._world
        what = (entry.term, hash((int(entry.kind), entry.data)))
        world.trace("applied", node.id, entry.index, entry.term)
        known = self._committed.setdefault(entry.index, what)
        if known != what:
            raise Broken(
                f"committed prefix: n{node.id} applies {what} at {entry.index}, another node "
                f"applied {known}\n{world.state()}"
            )
        assert node.replica is not None
        if not self._committed_by or entry.index > self._committed_by[-1][1]:
            self._committed_by.append((node.replica.raft.term, entry.index))
            if entry.kind is EntryKind.DATA:
                self._never_early(node, entry)
        if entry.index % CHECKSUM_EVERY == 0:
            self._limits_hold(node)
            checksum = node.replica.machine.checksum()
            if self._checksums.setdefault(entry.index, checksum) != checksum:
                raise Broken(
                    f"state machine safety: n{node.id} has another state at "
                    f"{entry.index}\n{world.state()}"
                )

    def _limits_hold(self, node: Member) -> None:
        assert node.replica is not None
        state = node.replica.machine._state
        counted = Counter(state.accounts.owners.values())
        for account in state.accounts.by_name.values():
            if account.keys != counted[account.number] or account.keys > MOST_KEYS_OF_A_USER:
                raise Broken(
                    f"limits of users: n{node.id} counts {account.keys} for {account.name!r}, "
                    f"and {counted[account.number]} "
                    f"belong to it; {MOST_KEYS_OF_A_USER} at most\n{self._world.state()}"
                )
        if not state.accounts.owners.keys() <= state.values.keys():
            raise Broken(
                f"limits of users: n{node.id} has owners of counters that are "
                f"gone\n{self._world.state()}"
            )

    def after_turn(self, node: Member) -> None:
        replica = node.replica
        assert replica is not None
        raft = replica.raft
        self._never_falls(node)
        led = (node.id, node.incarnation) in self._led
        if not replica.is_leader:
            self._led.discard((node.id, node.incarnation))
            if led and node.id not in raft.voters:
                self._held_by_a_majority(
                    node
                )  # it committed its own removal, perhaps with more, and gave up in the same turn
            return
        self._led.add((node.id, node.incarnation))
        first = raft.term not in self._leaders
        leader = self._leaders.setdefault(raft.term, node.id)
        if leader != node.id:
            raise Broken(
                f"election safety: n{leader} and n{node.id} lead term "
                f"{raft.term}\n{self._world.state()}"
            )
        if first:
            self._world.trace("leader", node.id, raft.term)
            self._complete(node)
        self._held_by_a_majority(node)

    def before_write(self, node: Member, entries: list[Entry]) -> None:
        """Log matching, by induction over what goes to the disk."""
        assert node.replica is not None
        log = node.replica.raft.log
        self._each_once(node, entries)
        for entry in entries:
            if not log.offset <= entry.index - 1 <= log.last_index or log.last_index < entry.index:
                continue  # cut or compacted in the meantime
            if log.term(entry.index) != entry.term:
                continue
            what = (log.term(entry.index - 1), hash((int(entry.kind), entry.data)))
            if self._entries.setdefault((entry.index, entry.term), what) != what:
                raise Broken(
                    f"log matching: n{node.id} has another entry {entry.index} of term "
                    f"{entry.term}\n{self._world.state()}"
                )

    def _each_once(self, node: Member, entries: list[Entry]) -> None:
        """Of a leader's own entries. Each is checked when it is written, so all that come later
        are compared with it."""
        assert node.replica is not None
        raft = node.replica.raft
        for entry in entries:
            if len(entry.data) > MAX_ENTRY_BYTES:
                raise Broken(
                    f"largest entry: n{node.id} writes {len(entry.data)} bytes as entry "
                    f"{entry.index}; at most {MAX_ENTRY_BYTES}"
                )
            if (
                entry.kind is not EntryKind.DATA
                or raft.leadership is None
                or entry.term != raft.term
            ):
                continue
            identity = identity_of(entry.data[TIME_BYTES:])
            if identity is None or identity[0] == 0:
                # of registrations one may follow that was executed: its node may have learnt of it
                # from a snapshot only, so not at all
                continue
            if self._batches.setdefault((entry.term, identity), entry.index) != entry.index:
                first = self._batches[entry.term, identity]
                raise Broken(
                    f"one copy: n{node.id} appends batch {identity} at {entry.index}, and it "
                    f"stands at {first}\n{self._world.state()}"
                )

    def _never_falls(self, node: Member) -> None:
        assert node.replica is not None
        log = node.replica.raft.log
        now = (log.committed, log.applied)
        before = self._reached.get((node.id, node.incarnation), (0, 0))
        if now[0] < before[0] or now[1] < before[1] or now[1] > now[0]:
            raise Broken(
                f"committed prefix: n{node.id} was at (committed, applied) {before} and is at "
                f"{now}\n{self._world.state()}"
            )
        self._reached[node.id, node.incarnation] = now

    def _held_by_a_majority(self, node: Member) -> None:
        assert node.replica is not None
        raft = node.replica.raft
        index = raft.log.committed
        if index <= self._durable or index < raft.log.offset:
            self._voters[node.id] = raft.voters
            return
        term = raft.log.term(index)
        # A change takes effect when it is applied: what this turn committed was counted among the
        # voters before or after it.
        before, self._voters[node.id] = self._voters.get(node.id, raft.voters), raft.voters
        holders = {n.id for n in self._world.nodes.values() if n.disk.holds(index, term)}
        if all(2 * len(holders & voters) <= len(voters) for voters in (before, raft.voters)):
            where = f"durable on {sorted(holders)} of {sorted(raft.voters)}"
            raise Broken(
                f"durable majority: n{node.id} commits {index}, which is "
                f"{where}\n{self._world.state()}"
            )
        self._durable = index

    def _complete(self, node: Member) -> None:
        assert node.replica is not None
        raft = node.replica.raft
        log = raft.log
        newest = max((index for term, index in self._committed_by if term < raft.term), default=0)
        if log.last_index < newest:
            raise Broken(
                f"leader completeness: n{node.id} ends at {log.last_index}, {newest} is "
                f"committed\n{self._world.state()}"
            )
        for index in range(log.offset + 1, newest + 1):
            if log.term(index) != self._committed[index][0]:
                raise Broken(
                    f"leader completeness: n{node.id} has another entry at {index}, which is "
                    f"committed\n{self._world.state()}"
                )
