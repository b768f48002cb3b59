"""The breakages. Each is a function that puts something wrong in place of something right, by the
`patch` it is given.

`MUTATION=name` in the environment breaks a whole pytest run (tests/mutations/plugin.py); the
simulator's are switched on in the process."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import msgspec
from counter_node import agreed_time, gateway, log_time, replica, timekeeper
from counter_node.cache import replica as cache_replica
from counter_node.counters import batches, keyspace, levels, machine, ops, within
from counter_node.counters.accounts import Account
from counter_node.counters.batches import OutcomeKind
from counter_node.counters.machine import Machine
from counter_node.counters.notes import Notes
from counter_node.counters.producers import _NOTHING, Producers
from counter_node.counters.sessions import Sessions
from counter_node.counters.state import State
from counter_node.counters.table import Table
from counter_node.counters.watches import Watches
from counter_node.counters.within import Search
from counter_node.gateway import Gateway
from counter_node.log_time import ClockTell, LogTime
from counter_node.net import cluster_view
from counter_node.net.clients import ClientConnection
from counter_node.net.holdings import Holdings
from counter_node.net.pulse import Pulse
from counter_node.raft import alone, election
from counter_node.raft.alone import why_not_alone
from counter_node.raft.core import Persist, Raft
from counter_node.raft.leadership import Leadership
from counter_node.raft.lease import Lease, Promise
from counter_node.raft.log import RaftLog
from counter_node.raft.messages import AppendResponse, TimeoutNow, VoteResponse
from counter_node.raft.readindex import ReadQueue
from counter_node.raft.removal import why_not_believed
from counter_node.raft.types import NONE, EntryKind
from counter_node.replica import Replica
from counter_node.resp import session
from counter_node.resp.actions import Write
from counter_node.resp.commands import Command
from counter_node.resp.session import Session
from counter_node.security import tls
from counter_node.security.acl import Acl
from counter_node.security.limits import Pace
from counter_node.security.throttle import Throttle
from counter_node.storage import frames, recovery, segments, snapshots
from counter_node.storage.disk import Disk
from counter_node.storage.segments import Segments
from counter_node.storage.storage import Storage
from counter_node.tail import Tail
from countercluster_operator import fitness, healing, keeper, model, restrictions, room, users
from countercluster_operator.budget import Budget
from countercluster_operator.certificates import Authority
from countercluster_operator.children import Children
from countercluster_operator.machines import Loss, Machines

from tests.simulation import nemesis

Patch = Callable[[object, str, Any], None]
"""As monkeypatch.setattr: object, attribute, value."""
Apply = Callable[[Patch], None]


@dataclasses.dataclass(frozen=True)
class Mutation:
    name: str
    breaks: str
    apply: Apply
    plans: tuple[str, ...] = ("everything",)
    """Of the simulator; empty: found by `tests`."""
    tests: tuple[str, ...] = ()
    quick: bool = False
    """Also in `make sim`, hence in `make test`."""


CATALOGUE: dict[str, Mutation] = {}


def mutation(
    breaks: str, *plans: str, tests: tuple[str, ...] = (), quick: bool = False
) -> Callable[[Apply], Apply]:
    def keep(apply: Apply) -> Apply:
        name = apply.__name__.replace("_", "-")
        CATALOGUE[name] = Mutation(
            name, breaks, apply, plans or (() if tests else ("everything",)), tests, quick
        )
        return apply

    return keep


def _hard_state(patch: Patch, change: Callable[[Any], Any]) -> None:
    original = Raft.take_persist

    def take_persist(self: Raft) -> Persist | None:
        found = original(self)
        if found is None or found.hard_state is None:
            return found
        return msgspec.structs.replace(found, hard_state=change(found.hard_state))

    patch(Raft, "take_persist", take_persist)


# --- elections ------------------------------------------------------------------------------------


@mutation("a vote is told but not written", tests=("tests/unit/raft",))
def vote_not_persisted(patch: Patch) -> None:
    _hard_state(patch, lambda h: msgspec.structs.replace(h, vote=NONE))


@mutation("the term is told but not written")
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
    original = ops.EXECUTE[ops.TIMES]
    patch(
        ops,
        "EXECUTE",
        {**ops.EXECUTE, ops.TIMES: lambda state, op: original(state, [*op[:2], op[2] - 1])},
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


@mutation("a repeated read keeps its id (etcd's stale reads)", "zombies", quick=True)
def read_id_reused(patch: Patch) -> None:
    patch(Gateway, "_fresh_read_id", lambda self: 1)


@mutation("a read is answered before its index is applied", quick=True)
def read_before_applied(patch: Patch) -> None:
    original = Gateway.reads_due
    patch(Gateway, "reads_due", lambda self, applied: original(self, 1 << 60))


@mutation("a lease is used that has run out", "leases")
def lease_read_without_lease(patch: Patch) -> None:
    patch(Lease, "valid", lambda self, voters: True)


@mutation("a voter breaks its promise to the leader", tests=("tests/unit/raft",))
def lease_promise_not_kept(patch: Patch) -> None:
    patch(Promise, "binds", lambda self: False)


# --- exactly once ---------------------------------------------------------------------------------


@mutation(
    "a batch that arrives twice is executed twice", tests=("tests/unit/counters", "tests/unit/raft")
)
def batch_executed_twice(patch: Patch) -> None:
    original = Sessions.admit

    def admit(self: Sessions, session: int, number: int, time_ms: int) -> OutcomeKind:
        kind = original(self, session, number, time_ms)
        return OutcomeKind.EXECUTED if kind is OutcomeKind.DUPLICATE else kind

    patch(Sessions, "admit", admit)


@mutation("a repeated request is executed again", quick=True)
def request_executed_twice(patch: Patch) -> None:
    patch(Producers, "_recall", staticmethod(lambda producer, sequence: _NOTHING))


@mutation("a snapshot without its table of sessions", quick=True)
def sessions_not_in_the_snapshot(patch: Patch) -> None:
    patch(Sessions, "dump", lambda self: [])


@mutation("a snapshot without its table of producers", "everything", "only membership", quick=True)
def producers_not_in_the_snapshot(patch: Patch) -> None:
    patch(Producers, "dump", lambda self: [])


@mutation("a gateway numbers its batch anew when it sends it again", quick=True)
def batch_numbered_anew(patch: Patch) -> None:
    original = Gateway.proposal

    def proposal(self: Gateway, route: Any) -> bytes | None:
        batch = self._in_flight
        if (
            batch is not None
            and not batch.answered
            and batch.route != route
            and self.session is not None
        ):
            self._in_flight = None
            self.writes.put_back(batch.bundles, batch.ops)
            self._mixed = True
        return original(self, route)

    patch(Gateway, "proposal", proposal)


# --- storage --------------------------------------------------------------------------------------


@mutation("the log is not synced", "storage", quick=True)
def fsync_skipped(patch: Patch) -> None:
    patch(Segments, "sync", lambda self: None)


class _NoSync(Disk):
    """A disk on which files are not synced."""

    def __init__(self, inner: Disk) -> None:
        self._inner = inner

    def __getattribute__(self, name: str) -> Any:
        if name in ("sync", "_inner"):
            return object.__getattribute__(self, name)
        return getattr(object.__getattribute__(self, "_inner"), name)

    def sync(self, fd: int) -> None:
        pass


@mutation(
    "a snapshot's file is not synced before it gets its name", "storage", tests=(), quick=True
)
def snapshot_file_not_synced(patch: Patch) -> None:
    original = snapshots.save
    patch(snapshots, "save", lambda disk, *rest: original(_NoSync(disk), *rest))


@mutation(
    "the log is cut before the snapshot that covers it is named in it",
    tests=("tests/unit/storage",),
)
def compaction_before_the_snapshot(patch: Patch) -> None:
    original = Storage.save_snapshot

    def save(self: Storage, snapshot: Any, pieces: Any = ()) -> None:
        original(self, snapshot, pieces)
        self._segments.delete_before(self._segments.sequence)

    patch(Storage, "save_snapshot", save)


@mutation("the chain from frame to frame is not checked", tests=("tests/unit/storage",))
def chain_crc_not_checked(patch: Patch) -> None:
    original = frames._frame_at

    def frame_at(data: bytes, offset: int, previous_crc: int | None) -> Any:
        return original(data, offset, None)

    patch(frames, "_frame_at", frame_at)


@mutation("a torn tail is accepted in any segment", tests=("tests/unit/storage",))
def torn_tail_in_a_middle_segment(patch: Patch) -> None:
    original = recovery._replay

    def replay(disk: Any, wal: Any, number: int, newest: bool, *rest: Any) -> Any:
        return original(disk, wal, number, True, *rest)

    patch(recovery, "_replay", replay)
    patch(recovery, "_check_follows", lambda *_: None)


@mutation("damage in the last segment passes for a torn tail", tests=("tests/unit/storage",))
def damage_passes_for_a_torn_tail(patch: Patch) -> None:
    original = frames._judge

    def judge(data: bytes, offset: int, previous_crc: int, found: str) -> Any:
        ending, at, detail = original(data, offset, previous_crc, found)
        return (frames.Ending.TORN if ending is frames.Ending.DAMAGED else ending), at, detail

    patch(frames, "_judge", judge)


@mutation(
    "the segment in use is filled with zeros, and not the next one",
    "storage",
    tests=("tests/unit/storage",),
    quick=True,
)
def zeros_in_the_wrong_segment(patch: Patch) -> None:
    patch(Segments, "_fill_slice", lambda self: segments.fill(self._disk, self._fd, 4 << 10, 0))


@mutation("writing goes on after a failed sync", tests=("tests/unit/storage",))
def failed_sync_is_forgotten(patch: Patch) -> None:
    original = Storage._fail

    def fail(self: Storage, error: OSError) -> Any:
        found = original(self, error)
        self._failure = None
        return found

    patch(Storage, "_fail", fail)


# --- administration -------------------------------------------------------------------------------


@mutation("a member is removed without whom no majority lives", "administrator")
def live_majority_is_not_asked_for(patch: Patch) -> None:
    patch(Leadership, "_require_live_majority", lambda self, voters: None)


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
    patch(nemesis, "why_not_alone", lambda raft, reached: why_not_alone(raft, ()))


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


# --- cache and driver -----------------------------------------------------------------------------


@mutation("a node whose disk failed asks for votes again and again", tests=("tests/unit/raft",))
def failed_disk_campaigns(patch: Patch) -> None:
    patch(Raft, "disk_answers", property(lambda self: True, lambda self, value: None))


@mutation("a candidate stands again before its own vote is durable", tests=("tests/unit/raft",))
def candidate_outruns_its_disk(patch: Patch) -> None:
    patch(Raft, "_vote_on_its_way", property(lambda self: False))


@mutation(
    "a refused vote does not tell what is committed", tests=("tests/unit/raft/test_scripts.py",)
)
def refusal_tells_nothing(patch: Patch) -> None:
    patch(Raft, "_refusal", lambda self, *, pre: VoteResponse(self.term, pre, False))


@mutation("a follower under load never applies", tests=("tests/unit/raft/test_replica.py",))
def applying_put_off_for_ever(patch: Patch) -> None:
    patch(replica, "MOST_PUT_OFF", 1 << 60)


@mutation(
    "a leader appends a batch that is in its log already",
    "everything",
    tests=("tests/unit/test_tail.py",),
)
def copies_are_appended(patch: Patch) -> None:
    patch(Tail, "index_of", lambda self, raft, body, executed: None)


@mutation(
    "a batch that was executed, and whose entry is applied, is taken for one that is on its way",
    tests=("tests/unit/test_tail.py",),
)
def lost_batches_are_dropped(patch: Patch) -> None:
    original = Tail.index_of

    def index_of(self: Tail, raft: Raft, body: bytes, executed: Any) -> int | None:
        return original(self, raft, body, executed) or raft.log.last_index

    patch(Tail, "index_of", index_of)


@mutation(
    "a bundle is never parted, whatever it holds",
    "everything",
    tests=("tests/unit/test_gateway.py",),
)
def bundles_are_not_parted(patch: Patch) -> None:
    original = Gateway.__init__

    def init(self: Gateway, *given: Any, **named: Any) -> None:
        original(self, *given, **named | {"max_batch_bytes": 1 << 30, "max_entry_bytes": 1 << 30})

    patch(Gateway, "__init__", init)


@mutation("an entry of any size is appended", tests=("tests/unit/raft",))
def any_entry_is_appended(patch: Patch) -> None:
    original = Leadership.propose

    def propose(self: Leadership, kind: EntryKind, data: bytes, origin: int = NONE) -> bool:
        self._config = dataclasses.replace(self._config, max_entry_bytes=1 << 30)
        return original(self, kind, data, origin)

    patch(Leadership, "propose", propose)


@mutation(
    "a received snapshot is used before its file is saved",
    "snapshots",
    tests=("tests/unit/raft/test_full_disk.py",),
)
def snapshot_adopted_before_it_is_saved(patch: Patch) -> None:
    original = Raft._on_snapshot

    def on_snapshot(self: Raft, sender: int, message: Any) -> None:
        original(self, sender, message)
        if self.arrived is not None:
            self.adopt(self.arrived)

    patch(Raft, "_on_snapshot", on_snapshot)


@mutation(
    "the log is dropped as far as memory has dropped it, not as far as the snapshot in force "
    "reaches",
    "snapshots",
)
def compaction_runs_ahead(patch: Patch) -> None:
    original = Replica.persisted

    def persisted(self: Replica, job: Any, *, no_room: bool = False) -> int | None:
        found = original(self, job, no_room=no_room)
        return self.raft.log.offset + 1 if job.install is not None else found

    patch(Replica, "persisted", persisted)


@mutation(
    "a note of log time stays on the disk though log time fell behind it",
    tests=("tests/unit/time/test_log_time.py",),
)
def an_early_note_is_kept(patch: Patch) -> None:
    patch(log_time, "EARLY_MS", float("inf"))


@mutation("a silent link is left to TCP", "short", tests=("tests/unit/test_peer_link.py",))
def silent_links_wait(patch: Patch) -> None:
    original = Pulse.tick
    patch(Pulse, "tick", lambda self: original(self)._replace(dial=False))


@mutation("a full disk takes whatever it is sent", tests=("tests/unit/raft/test_full_disk.py",))
def full_disk_takes_all(patch: Patch) -> None:
    patch(Replica, "_fits", lambda self, size, relieves=None: True)


@mutation(
    "a full disk takes every command for one that makes the state smaller",
    tests=("tests/unit/raft/test_full_disk.py",),
)
def everything_is_relief(patch: Patch) -> None:
    patch(replica, "shrinks", lambda op, now_ms, utc_ms: True)
    patch(replica, "entries_shrink", lambda entries, now_ms, utc_ms: True)


# --- operator -------------------------------------------------------------------------------------


@mutation(
    "another authority is trusted alone at once", tests=("tests/unit/security/test_material.py",)
)
def authority_without_overlap(patch: Patch) -> None:
    patch(Authority, "bundle", property(lambda self: (self.next or self.signing).certificate))


@mutation(
    "a Secret of certificates is used as it is", tests=("tests/unit/security/test_fitness.py",)
)
def unfit_certificates_are_used(patch: Patch) -> None:
    patch(fitness, "_names", lambda *_: [])
    patch(fitness, "_usages", lambda *_: [])


@mutation(
    "a new password is given out before the nodes know it",
    tests=("tests/unit/operator/test_reconcile.py",),
)
def password_given_out_early(patch: Patch) -> None:
    patch(keeper, "users_known", lambda *_: True)


@mutation("rules of users are not judged", tests=("tests/unit/security/test_users.py",))
def rules_not_judged(patch: Patch) -> None:
    patch(users, "fault_of", lambda *_: "")


# --- the operator ---------------------------------------------------------------------------------


@mutation(
    "what the scheduler says makes a member lost", tests=("tests/unit/operator/test_plan_world.py",)
)
def loss_by_the_schedulers_word(patch: Patch) -> None:
    def loss(self: Machines, pod: Any, claim: Any, volume: Any) -> Loss:
        placed = all(c["type"] != "PodScheduled" for c in pod["status"]["conditions"])
        return Loss() if placed else Loss(1e6, "out of reach", "anywhere")

    patch(Machines, "loss", loss)


@mutation("an outage of a zone is many losses", tests=("tests/unit/operator/test_plan_world.py",))
def outage_taken_for_losses(patch: Patch) -> None:
    patch(Machines, "_outage", lambda self, domain: "")


@mutation("a retained volume goes with its claim", tests=("tests/unit/operator/test_giving_up.py",))
def retained_volume_deleted(patch: Patch) -> None:
    patch(healing, "_withheld", lambda cluster, seen, pod: None)


@mutation(
    "any number of members is given up at once", tests=("tests/unit/operator/test_machines.py",)
)
def healing_without_a_budget(patch: Patch) -> None:
    patch(Budget, "refusal", lambda self, key, domain, silent: "")


@mutation(
    "after an outage the time that a machine is given does not begin anew",
    tests=("tests/unit/operator/test_machines.py",),
)
def no_calm_after_an_outage(patch: Patch) -> None:
    patch(Machines, "_calm_since", lambda self, domain: None)


@mutation(
    "what the API server refuses ends the pass", tests=("tests/unit/operator/test_refusals.py",)
)
def refusal_ends_the_pass(patch: Patch) -> None:
    def note(
        self: Children, key: Any, wish: str, what: str, error: BaseException, kept: Any
    ) -> None:
        raise error

    patch(Children, "_note", note)


# --- log time -------------------------------------------------------------------------------------

TIME_TESTS = ("tests/unit/time", "tests/simulation/test_clocks.py")


@mutation("a leader stamps its wall clock", "everything")
def wall_in_stamp(patch: Patch) -> None:
    patch(LogTime, "stamp", lambda self: max(self.now(), self.wall_ms()))


@mutation("a new leader does not go on from its note", tests=TIME_TESTS)
def note_lost_at_election(patch: Patch) -> None:
    original = LogTime.lead

    def lead(self: LogTime) -> None:
        self.note = None
        original(self)

    patch(LogTime, "lead", lead)


@mutation("a leader that looks for log time stamps all the same", tests=TIME_TESTS)
def stamps_while_it_looks(patch: Patch) -> None:
    patch(replica.Replica, "_time_is_looked_for", lambda self: bool(self._log_time() and False))


@mutation("what was stamped less does not bind the next leader", tests=TIME_TESTS)
def note_never_lowered(patch: Patch) -> None:
    original = LogTime.heard

    def heard(self: LogTime, elapsed_ms: int) -> None:
        original(self, max(elapsed_ms, self.now()))

    patch(LogTime, "heard", heard)


@mutation("a leader marks no gap though it did not hear every note", tests=TIME_TESTS)
def late_line_not_marked(patch: Patch) -> None:
    original = timekeeper.Timekeeper.search

    def search(self: Any, voters: Any, *, over: bool) -> None:
        noted = self.time.note is not None
        original(self, voters, over=over)
        self.unmarked = self.unmarked and not noted

    patch(timekeeper.Timekeeper, "search", search)


@mutation("a jump goes by the upper end", tests=TIME_TESTS)
def upper_end(patch: Patch) -> None:
    original = agreed_time.agree

    def agree(intervals: Any, needed: int) -> Any:
        found = original(intervals, needed)
        return found and agreed_time.Interval(found.high, found.high)

    patch(timekeeper, "agree", agree)
    patch(agreed_time, "agree", agree)


@mutation("a majority of the answers is enough", tests=TIME_TESTS)
def majority_of_answers(patch: Patch) -> None:
    original = agreed_time.agree
    patch(
        timekeeper,
        "agree",
        lambda intervals, needed: original(intervals, max(1, agreed_time.majority(len(intervals)))),
    )


@mutation("an answer counts from who lacks what the leader has in its log", tests=TIME_TESTS)
def answers_of_an_older_line(patch: Patch) -> None:
    original = timekeeper.Timekeeper.told

    def told(self: Any, sender: int, tell: ClockTell, *, voter: bool) -> None:
        original(self, sender, tell, voter=True)

    patch(timekeeper.Timekeeper, "told", told)


@mutation("what was set since a stop is aged by the jump too", tests=TIME_TESTS)
def jump_ages_the_new(patch: Patch) -> None:
    original = State.jump

    def jump(self: State, time_ms: int, *, gap: bool) -> Any:
        if self.since_gap:
            self.since_gap = Table()
        return original(self, time_ms, gap=gap)

    patch(State, "jump", jump)


@mutation("a jump makes sessions and producers forgotten", tests=TIME_TESTS)
def jump_forgets(patch: Patch) -> None:
    patch(State, "running_ms", property(lambda self: self.time_ms))


@mutation(
    "an image that the spec named is used for ever",
    tests=("tests/unit/operator/test_plan_world.py",),
)
def named_image_remembered(patch: Patch) -> None:
    patch(
        model,
        "_chosen",
        lambda status, spec, image, cache: (
            status.get("image") or image,
            status.get("cacheImage") or cache,
        ),
    )


@mutation("what is due can still be read", tests=("tests/unit/counters",))
def due_is_seen(patch: Patch) -> None:
    patch(State, "is_due", lambda self, key: False)


@mutation("a write finds what is due", tests=("tests/unit/counters",))
def due_is_written(patch: Patch) -> None:
    patch(State, "fetch", lambda self, key: self.values.get(key))


@mutation(
    "a leader that is cut off keeps the clients of its cluster port",
    tests=("tests/unit/test_cluster_view.py",),
)
def keeps_cluster_clients(patch: Patch) -> None:
    patch(cluster_view.View, "elsewhere", lambda self: None)


@mutation(
    "older members' clusters remove what is due in slices, too", tests=("tests/unit/counters",)
)
def slices_below_their_level(patch: Patch) -> None:
    patch(machine, "SLICES_LEVEL", 1)


@mutation("the bytes of what is removed stay counted", tests=("tests/unit/counters",))
def bytes_are_kept(patch: Patch) -> None:
    original = State._drop

    def drop(self: State, key: bytes) -> None:
        before = self.size_bytes
        original(self, key)
        self.size_bytes = before

    patch(State, "_drop", drop)


@mutation(
    "a snapshot forgets the counters that went while it was made",
    tests=("tests/unit/counters/test_dump.py",),
)
def dump_without_the_gone(patch: Patch) -> None:
    patch(Notes, "left", lambda self, key: None)


@mutation("a snapshot has the order that its node came to", tests=("tests/unit/counters",))
def order_of_the_past(patch: Patch) -> None:
    patch(keyspace, "in_order", list)


@mutation(
    "a long command is overtaken by what comes behind it", tests=("tests/unit/test_fast_lane.py",)
)
def long_command_is_overtaken(patch: Patch) -> None:
    patch(
        ClientConnection, "_unbegun", property(lambda self: bool(self._commands or self._backlog))
    )


@mutation(
    "what is behind an answer in pieces is answered in the middle of it",
    tests=("tests/unit/test_fast_lane.py",),
)
def answer_is_let_go(patch: Patch) -> None:
    original = ClientConnection.let_go

    def let_go(self: ClientConnection, now_s: float) -> bool:
        self._encoding = None
        return original(self, now_s)

    patch(ClientConnection, "let_go", let_go)


@mutation(
    "a transaction that waits for its outcome counts for nobody",
    tests=("tests/unit/resp/test_slow.py",),
)
def transaction_for_nothing(patch: Patch) -> None:
    original = Write.__init__
    patch(Write, "__init__", lambda self, op, held=0: original(self, op))


@mutation(
    "long names fill the room that is set apart for a snapshot",
    tests=("tests/unit/counters/test_weights.py",),
)
def snapshots_unweighed(patch: Patch) -> None:
    patch(
        State,
        "_overweight",
        lambda self, more: self.size_bytes + self.beside + more > self.max_bytes,
    )


@mutation("so many short names as fit are one batch", tests=("tests/unit/test_gateway.py",))
def heavy_batch(patch: Patch) -> None:
    patch(gateway, "not_too_heavy", len)


@mutation(
    "log time uses up the room for deletions on a full disk",
    tests=("tests/unit/raft/test_full_disk.py",),
)
def ticks_on_a_full_disk(patch: Patch) -> None:
    patch(Replica, "_propose_tick", lambda self: self._propose(batches.encode_tick()))


@mutation(
    "settings that come to more than the memory are let through",
    tests=("tests/unit/operator/test_room.py",),
)
def more_than_the_memory(patch: Patch) -> None:
    patch(room, "too_much", lambda resources, client_mib, state_mib: "")


@mutation("a producer answers every user", tests=("tests/unit/counters",))
def producers_of_everybody(patch: Patch) -> None:
    patch(
        Producers,
        "place_of",
        lambda self, user, name, sequence, time_ms: self.place(name, sequence, time_ms),
    )


@mutation(
    "a recovery of long ago is done again when it is not remembered",
    tests=("tests/unit/operator/test_plan_world.py",),
)
def recovery_without_looking(patch: Patch) -> None:
    patch(healing, "_not_seen", lambda seen, answering: "")


@mutation("any suite of TLS 1.2 will do", tests=("tests/unit/security/test_suites.py",))
def any_suite(patch: Patch) -> None:
    patch(tls, "SUITES_OF_1_2", "DEFAULT")


@mutation(
    "what the administrator does not allow is applied",
    tests=("tests/unit/operator/test_restrictions.py",),
)
def nothing_is_outside(patch: Patch) -> None:
    patch(restrictions, "outside", lambda cluster, allowed: [])


@mutation(
    "an allowed image is a bare beginning", tests=("tests/unit/operator/test_restrictions.py",)
)
def images_by_prefix(patch: Patch) -> None:
    patch(restrictions, "begins", lambda image, word: image.startswith(word))


@mutation(
    "a size that is not applied costs members", tests=("tests/unit/operator/test_restrictions.py",)
)
def refused_size_is_planned(patch: Patch) -> None:
    patch(restrictions, "as_it_runs", lambda cluster, seen, old, withheld: cluster)


@mutation(
    "a file of users without `default` gives everybody everything",
    tests=("tests/unit/security/test_users_file.py",),
)
def open_without_a_rule(patch: Patch) -> None:
    right = Acl.__init__
    patch(Acl, "__init__", lambda self, text, catalogue: right(self, text or None, catalogue))


@mutation(
    "many addresses make the throttle forget one", tests=("tests/unit/security/test_throttle.py",)
)
def throttle_forgets(patch: Patch) -> None:
    patch(Throttle, "_cell", lambda self, what: 0 if what.startswith("u") else 1)


@mutation("what clients hold is not bounded", tests=("tests/unit/test_holdings.py",))
def nobody_is_cut(patch: Patch) -> None:
    patch(Holdings, "_cut_heaviest", lambda self, table: table.clear())


@mutation("patience counts for each command", tests=("tests/unit/test_gateway.py",))
def patience_for_each(patch: Patch) -> None:
    patch(Gateway, "lost", property(lambda self: False))


@mutation(
    "a user makes more than its limit allows",
    "everything",
    tests=("tests/unit/counters/test_accounts.py",),
)
def limits_of_users_not_asked(patch: Patch) -> None:
    patch(Account, "passes", lambda self, keys, size_bytes: "")


@mutation("a limit of a user is what each node's own file says", "everything", "only crashes")
def limits_of_users_beside_the_log(patch: Patch) -> None:
    original = Replica.govern

    def govern(self: Replica, known: Any) -> None:
        self.machine._state.accounts.govern(self.user_limits or ())
        original(self, known)

    patch(Replica, "govern", govern)


@mutation("a snapshot forgets whom a counter belongs to", "everything", "snapshots")
def owners_not_restored(patch: Patch) -> None:
    patch(State, "take_owners", lambda self, piece: None)


@mutation(
    "what is deleted stays on its owner's account", tests=("tests/unit/counters/test_accounts.py",)
)
def owners_pay_for_ever(patch: Patch) -> None:
    patch(State, "_disown", lambda self, key: None)


@mutation(
    "a user's commands below the level are in the log with their user",
    tests=("tests/unit/counters/test_accounts.py",),
)
def users_below_their_level(patch: Patch) -> None:
    patch(levels, "USERS_LEVEL", 1)


@mutation("a user may be as fast as it likes", tests=("tests/unit/security/test_limits.py",))
def nobody_is_too_fast(patch: Patch) -> None:
    patch(Pace, "refusal", lambda self, user: None)


@mutation(
    "a listing tells what is beyond a user's patterns",
    tests=("tests/unit/counters/test_within.py",),
)
def foreign_names_told(patch: Patch) -> None:
    patch(within, "match_of", lambda patterns: lambda name: True)


@mutation(
    "a login in a transaction makes another pay for it",
    tests=("tests/unit/security/test_limits.py",),
)
def another_pays(patch: Patch) -> None:
    original = Session._admitted

    def admitted(self: Session, command: Command, words: list[bytes]) -> Any:
        before, self.pays = (self.user_name, self.pays), False
        action = original(self, command, words)
        if self.user_name == before[0]:
            self.pays = before[1]
        return session._paid(action, self.user_name.encode()) if self.pays else action  # type: ignore[arg-type]

    patch(Session, "_admitted", admitted)


@mutation("who may write a counter may read it", tests=("tests/unit/security/test_acl.py",))
def writers_read(patch: Patch) -> None:
    patch(Command, "tells", lambda self, words: self.only_reads)


@mutation(
    "whoever watches first loses its watch to who watches most",
    tests=("tests/unit/counters/test_watches.py",),
)
def the_oldest_watch_of_all_goes(patch: Patch) -> None:
    patch(Watches, "_shorten", lambda self, user, what: self.end(next(iter(self._table))))


@mutation(
    "what TLS holds for a lost connection waits for the collector",
    tests=("tests/unit/test_fast_lane.py",),
)
def lost_connections_hold_on(patch: Patch) -> None:
    patch(ClientConnection, "_let_go_of_buffers", lambda self: None)


@mutation(
    "SCAN's cursor is the place of a foreign counter", tests=("tests/unit/counters/test_within.py",)
)
def foreign_places_told(patch: Patch) -> None:
    def scan(self: Search, state: State, cursor: int, count: int, pattern: bytes | None) -> Any:
        following, names = state.index.page(cursor, count)
        return [b"%d" % following, [n for n in names if self._match(n)]]
        yield

    patch(Search, "_scan", scan)
