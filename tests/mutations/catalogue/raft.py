"""Breakages of Raft: elections, the log, reads, and what administrators do to members."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from counter_node.cache import replica as cache_replica
from counter_node.counters import effects, ops
from counter_node.counters.machine import Machine
from counter_node.raft import alone, election, leadership
from counter_node.raft.alone import why_not_alone
from counter_node.raft.core import Persist, Raft
from counter_node.raft.leadership import Leadership
from counter_node.raft.lease import Lease, Promise
from counter_node.raft.log import RaftLog
from counter_node.raft.messages import AppendResponse, TimeoutNow
from counter_node.raft.readindex import ReadQueue
from counter_node.raft.removal import why_not_believed
from counter_node.raft.types import NONE, EntryKind
from counter_node.replica.read_rounds import ReadRounds

from tests.mutations.breakage import Patch, mutation
from tests.simulation import member_faults


def _hard_state(patch: Patch, change: Callable[[Any], Any]) -> None:
    original = Raft.take_persist

    def take_persist(self: Raft) -> Persist | None:
        found = original(self)
        if found is None or found.hard_state is None:
            return found
        return msgspec.structs.replace(found, hard_state=change(found.hard_state))

    patch(Raft, "take_persist", take_persist)


# --- elections ------------------------------------------------------------------------------------


@mutation("a vote is sent but not written", tests=("tests/unit/raft",))
def vote_not_persisted(patch: Patch) -> None:
    _hard_state(patch, lambda h: msgspec.structs.replace(h, vote=NONE))


@mutation("the term is sent but not written")
def term_not_persisted(patch: Patch) -> None:
    _hard_state(patch, lambda h: msgspec.structs.replace(h, term=max(1, h.term - 1), vote=NONE))


@mutation("a second vote in one term is granted", quick=True)
def second_vote_in_a_term(patch: Patch) -> None:
    original = Raft._on_vote_request

    def on_vote_request(self: Raft, sender: int, message: Any) -> None:
        if self.leader == NONE and self.leadership is None:
            self.vote = NONE
        original(self, sender, message)

    patch(Raft, "_on_vote_request", on_vote_request)


@mutation("a candidate with an older log gets votes", quick=True)
def vote_for_an_older_log(patch: Patch) -> None:
    original = Raft._on_vote_request
    patch(
        Raft,
        "_on_vote_request",
        lambda self, sender, m: original(
            self, sender, msgspec.structs.replace(m, last_term=1 << 40, last_index=1 << 40)
        ),
    )


@mutation("a pre-vote raises the term", tests=("tests/unit/raft",))
def prevote_raises_the_term(patch: Patch) -> None:
    original = Raft._ask_for_votes

    def ask(self: Raft, *, pre: bool, transfer: bool = False) -> None:
        if pre:
            self.term += 1
        original(self, pre=pre, transfer=transfer)

    patch(Raft, "_ask_for_votes", ask)


@mutation("a leader that no majority answers goes on", tests=("tests/unit/raft",))
def no_check_of_the_quorum(patch: Patch) -> None:
    patch(Leadership, "_heard_from_quorum", lambda self: True)


@mutation("leadership is handed over before the other has the log", tests=("tests/unit/raft",))
def transfer_without_waiting(patch: Patch) -> None:
    original = Leadership.transfer

    def transfer(self: Leadership, to: int) -> int:
        chosen = original(self, to)
        self._raft.send(chosen, TimeoutNow(self._raft.term))
        return chosen

    patch(Leadership, "transfer", transfer)


# --- the log --------------------------------------------------------------------------------------


@mutation("of increments that are counted together one is lost", quick=True)
def counted_together_one_short(patch: Patch) -> None:
    original = effects.EXECUTE[ops.TIMES]
    patch(
        effects,
        "EXECUTE",
        {**effects.EXECUTE, ops.TIMES: lambda state, op: original(state, [*op[:2], op[2] - 1])},
    )


@mutation("an entry is acknowledged before it is durable", quick=True)
def acknowledged_before_durable(patch: Patch) -> None:
    original = Raft._on_append

    def on_append(self: Raft, sender: int, message: Any) -> None:
        original(self, sender, message)
        early = [
            (to, m) for to, m in self._after if isinstance(m, AppendResponse) and to != self.id
        ]
        self._after = [pair for pair in self._after if pair not in early]
        self._messages.extend(early)

    patch(Raft, "_on_append", on_append)


@mutation(
    "the leader counts itself before its entry is durable", "storage", "everything", quick=True
)
def leader_counts_what_it_has_not_written(patch: Patch) -> None:
    original = Leadership._append

    def append(self: Leadership, kind: EntryKind, data: bytes) -> None:
        original(self, kind, data)
        self.progress[self._raft.id].match = self._raft.log.last_index

    patch(Leadership, "_append", append)


@mutation("the commit index is not written with the entries")
def commit_not_persisted(patch: Patch) -> None:
    _hard_state(patch, lambda h: msgspec.structs.replace(h, commit=0))


@mutation(
    "an entry of an earlier term is committed by counting (thesis 3.6.2)",
    tests=("tests/unit/raft",),
)
def commit_of_an_old_term_by_counting(patch: Patch) -> None:
    original = Leadership._advance_commit

    def advance(self: Leadership) -> None:
        log = self._raft.log
        real = log.term
        log.term = lambda index: self._raft.term  # type: ignore[method-assign]
        try:
            original(self)
        finally:
            log.term = real  # type: ignore[method-assign]

    patch(Leadership, "_advance_commit", advance)


@mutation("no entry opens a term", tests=("tests/unit/raft",))
def no_op_left_out(patch: Patch) -> None:
    original = Leadership._append
    patch(
        Leadership,
        "_append",
        lambda self, kind, data: None if kind is EntryKind.NOOP else original(self, kind, data),
    )


@mutation(
    "an append is taken without looking at what comes before it",
    "zombies",
    "everything",
    quick=True,
)
def append_without_the_consistency_check(patch: Patch) -> None:
    patch(RaftLog, "matches", lambda self, index, term: self.offset <= index <= self.last_index)


@mutation("a conflicting suffix is kept", quick=True)
def conflicting_suffix_is_kept(patch: Patch) -> None:
    patch(RaftLog, "_truncate", lambda self, index: None)


@mutation("an append may cut what is committed", tests=("tests/unit/raft",))
def truncation_of_committed(patch: Patch) -> None:
    def truncate(self: RaftLog, index: int) -> None:
        del self.entries[index - self.offset - 1 :]
        self.unstable = min(self.unstable, index)
        self.committed = min(self.committed, index - 1)

    patch(RaftLog, "_truncate", truncate)


@mutation(
    "a change of members before the term has committed, and several at once",
    tests=("tests/unit/raft",),
)
def membership_change_before_no_op(patch: Patch) -> None:
    original = Leadership.propose_change

    def propose(self: Leadership, change: Any) -> Any:
        self._change_index = 0
        return original(self, change)

    patch(Leadership, "propose_change", propose)


# --- reads ----------------------------------------------------------------------------------------


@mutation("a read is confirmed without a quorum", "zombies", quick=True)
def read_without_a_quorum(patch: Patch) -> None:
    original = ReadQueue.confirmed
    patch(ReadQueue, "confirmed", lambda self, voters: original(self, [self._leader]))


@mutation("a read is confirmed before the term has committed anything", quick=True)
def read_before_the_term_committed(patch: Patch) -> None:
    original = Leadership.read

    def read(self: Leadership, asker: int, read_id: int) -> None:
        self._term_start = 0
        original(self, asker, read_id)

    patch(Leadership, "read", read)


@mutation(
    "a repeated read keeps its id (etcd's stale reads)",
    "zombies",
    tests=("tests/unit/test_gateway.py",),
)
def read_id_reused(patch: Patch) -> None:
    patch(ReadRounds, "_fresh_id", lambda self: 1)


@mutation("a read is answered before its index is applied", quick=True)
def read_before_applied(patch: Patch) -> None:
    original = ReadRounds.due
    patch(ReadRounds, "due", lambda self, applied: original(self, 1 << 60))


@mutation("a lease is used that has run out", "leases")
def lease_read_without_lease(patch: Patch) -> None:
    patch(Lease, "valid", lambda self, voters: True)


@mutation("a voter breaks its promise to the leader", tests=("tests/unit/raft",))
def lease_promise_not_kept(patch: Patch) -> None:
    patch(Promise, "binds", lambda self: False)


# --- administration -------------------------------------------------------------------------------


@mutation("a member is removed without whom no majority lives", "administrator")
def live_majority_is_not_asked_for(patch: Patch) -> None:
    patch(leadership, "require_live_majority", lambda voters, lives: None)


@mutation("whoever says that a node was removed is believed", quick=True)
def any_peer_silences(patch: Patch) -> None:
    patch(election, "why_not_believed", lambda raft, mine, removal, theirs: "")


@mutation("an older history is believed", "everything")
def older_history_silences(patch: Patch) -> None:
    patch(
        election,
        "why_not_believed",
        lambda raft, mine, removal, theirs: why_not_believed(raft, (), removal, ()),
    )


@mutation("a node may go on alone although a majority answers")
def last_resort_at_any_moment(patch: Patch) -> None:
    patch(member_faults, "why_not_alone", lambda raft, reached: why_not_alone(raft, ()))


@mutation(
    "a node may go on alone in an ordinary election", tests=("tests/unit/raft/test_survivor.py",)
)
def last_resort_in_an_election(patch: Patch) -> None:
    patch(alone, "ELECTIONS", 0)


@mutation(
    "a survivor keeps the history of those it gave up", tests=("tests/unit/raft/test_survivor.py",)
)
def survivor_keeps_its_history(patch: Patch) -> None:
    patch(Machine, "begin_history", lambda self, history: None)


@mutation(
    "the cache's fence forgets which history wrote", tests=("tests/integration/test_cache.py",)
)
def fence_without_history(patch: Patch) -> None:
    patch(
        cache_replica,
        "SCRIPT",
        cache_replica.SCRIPT.replace("ARGV[5]", "''"),
    )
