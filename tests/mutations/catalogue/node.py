"""Breakages of what drives Raft in a node: disk worker, gateway, snapshots, client connections."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from counter_node import memory
from counter_node.counters import batches
from counter_node.net.connection import ClientConnection
from counter_node.net.holdings import Holdings
from counter_node.net.pulse import Pulse
from counter_node.node.snapshot_taker import SnapshotTaker
from counter_node.raft.core import Raft
from counter_node.raft.leadership import Leadership
from counter_node.raft.messages import VoteResponse
from counter_node.raft.types import NONE, EntryKind
from counter_node.replica import admission, disk_room, gateway, group_room, log_time, replica
from counter_node.replica.disk_room import DiskRoom
from counter_node.replica.gateway import Gateway
from counter_node.replica.group_room import GroupRoom
from counter_node.replica.offers import Offers
from counter_node.replica.relief import Relief
from counter_node.replica.replica import Replica
from counter_node.replica.tail import Tail
from counter_node.replica.time_entries import TimeEntries
from counter_node.resp import transactions
from counter_node.resp.actions import Slow, Write
from counter_node.resp.pipeline import Pipeline
from counter_node.resp.session import Session
from counter_node.views import client_command, cluster_view

from tests.mutations.breakage import Patch, mutation


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
    patch(DiskRoom, "of", lambda self, relief: sys.maxsize)


@mutation(
    "a full disk takes every command for one that makes the state smaller",
    tests=("tests/unit/raft/test_full_disk.py",),
)
def everything_is_relief(patch: Patch) -> None:
    patch(admission, "shrinks", lambda op, now_ms, utc_ms: True)
    patch(disk_room, "entry_shrinks", lambda entry, now_ms, utc_ms: True)


@mutation(
    "deletions use up all the room that a full disk keeps for them",
    tests=("tests/unit/raft/test_relief.py",),
)
def deletions_take_all(patch: Patch) -> None:
    patch(group_room, "relief_of", lambda body, now_ms, utc_ms: Relief.EMPTY)


@mutation(
    "a leader appends what only its own disk has room for",
    tests=("tests/unit/raft/test_group_room.py",),
)
def only_its_own_disk(patch: Patch) -> None:
    patch(GroupRoom, "answered", lambda self, sender, report: self._answered.add(sender))


@mutation(
    "what was sent since a member said what it can take is forgotten",
    tests=("tests/unit/raft/test_group_room.py",),
)
def sent_is_forgotten(patch: Patch) -> None:
    patch(group_room, "on_disk", lambda entries: 0)


@mutation(
    "a new leader appends before it knows the disks of a majority",
    tests=("tests/unit/raft/test_group_room.py",),
)
def unknown_disks(patch: Patch) -> None:
    patch(GroupRoom, "known", True)


@mutation(
    "a leader drops what it has no room for without a word",
    tests=("tests/unit/raft/test_group_room.py",),
)
def drops_in_silence(patch: Patch) -> None:
    patch(Offers, "forwarded", lambda self, sender, message: self.propose(message.body, sender))


@mutation(
    "a batch that two leaders may have is taken back when one says no",
    tests=("tests/unit/test_gateway_refused.py",),
)
def taken_back_after_two(patch: Patch) -> None:
    def take_back(self: Gateway, sent_as: int) -> bytes | None:
        if self._in_flight is None or self.last_id != sent_as:
            return None
        self._in_flight.sendings = 1
        self.not_sent()
        return self._in_flight.body

    patch(Gateway, "take_back", take_back)


@mutation(
    "a batch that may be in a log is taken back, and its number used again",
    tests=("tests/unit/test_gateway_refused.py",),
)
def sent_batch_is_taken_back(patch: Patch) -> None:
    original = Gateway.not_sent

    def not_sent(self: Gateway) -> None:
        if self._in_flight is not None:
            self._in_flight.sendings = 1
        original(self)

    patch(Gateway, "not_sent", not_sent)


@mutation(
    "a leader that is cut off keeps the clients of its cluster port",
    tests=("tests/unit/test_cluster_view.py",),
)
def keeps_cluster_clients(patch: Patch) -> None:
    patch(cluster_view.View, "elsewhere", lambda self: None)


@mutation(
    "a long command is overtaken by what comes behind it",
    tests=("tests/unit/test_client_slices.py",),
)
def long_command_is_overtaken(patch: Patch) -> None:
    patch(Pipeline, "unbegun", property(lambda self: bool(self._commands or self._backlog)))


@mutation(
    "what is behind an answer in pieces is answered in the middle of it",
    tests=("tests/unit/test_client_slices.py",),
)
def answer_is_let_go(patch: Patch) -> None:
    original = ClientConnection.let_go

    def let_go(self: ClientConnection, now_s: float) -> bool:
        self.pipeline.replies._encoding = None
        return original(self, now_s)

    patch(ClientConnection, "let_go", let_go)


@mutation(
    "a transaction that waits for its outcome counts for nobody",
    tests=("tests/unit/resp/test_slow.py",),
)
def transaction_for_nothing(patch: Patch) -> None:
    original = Write.__init__
    patch(Write, "__init__", lambda self, op, held=0: original(self, op))


@mutation("so many short names as fit are one batch", tests=("tests/unit/test_gateway.py",))
def heavy_batch(patch: Patch) -> None:
    patch(gateway, "not_too_heavy", len)


@mutation(
    "log time uses up the room for deletions on a full disk",
    tests=("tests/unit/raft/test_relief.py",),
)
def ticks_on_a_full_disk(patch: Patch) -> None:
    patch(TimeEntries, "_propose_tick", lambda self: self._propose(batches.encode_tick()))


@mutation("what clients hold is not bounded", tests=("tests/unit/test_holdings.py",))
def nobody_is_cut(patch: Patch) -> None:
    patch(
        Holdings,
        "_cut_heaviest",
        lambda self, table: self._forget(max(table, key=table.__getitem__)),
    )


@mutation("patience counts for each command", tests=("tests/unit/test_gateway.py",))
def patience_for_each(patch: Patch) -> None:
    patch(Gateway, "leader_is_lost", property(lambda self: False))


@mutation("a limit of a user is what each node's own file says", "everything", "only crashes")
def limits_of_users_beside_the_log(patch: Patch) -> None:
    original = Replica.govern

    def govern(self: Replica, known: Any) -> None:
        self.machine._state.accounts.govern(self.governor.wanted.user_limits or ())
        original(self, known)

    patch(Replica, "govern", govern)


@mutation(
    "what TLS holds for a lost connection waits for the collector",
    tests=("tests/unit/test_client_replies.py",),
)
def lost_connections_hold_on(patch: Patch) -> None:
    patch(ClientConnection, "_let_go_of_buffers", lambda self: None)


@mutation(
    "free memory is given back only while counters go",
    tests=("tests/unit/test_returned_memory.py",),
)
def no_last_return(patch: Patch) -> None:
    patch(memory, "LAST_S", memory._NEVER_S)


@mutation(
    "questions about the node are answered all in one step",
    tests=("tests/unit/resp/test_pipeline.py",),
)
def questions_at_once(patch: Patch) -> None:
    original = Pipeline._execute

    def execute(self: Any, commands: Any) -> None:
        original(self, commands)
        while self._commands and not self._held:
            commands, self._commands = self._commands, []
            original(self, commands)

    patch(Pipeline, "_execute", execute)


@mutation(
    "a transaction that asks about the node is taken apart at once",
    tests=("tests/unit/resp/test_pipeline.py",),
)
def transactions_at_once(patch: Patch) -> None:
    right = transactions.execute

    def execute(session: Session) -> Any:
        action = right(session)
        return action.finish() if isinstance(action, Slow) else action

    patch(transactions, "execute", execute)


@mutation(
    "a snapshot that found no room waits, however small the state has become",
    tests=("tests/unit/test_node_disk.py",),
)
def waits_all_the_same(patch: Patch) -> None:
    patch(SnapshotTaker, "_smaller", lambda self: False)


@mutation(
    "thousands of connections are listed at once",
    tests=("tests/unit/resp/test_client_command.py",),
)
def clients_at_once(patch: Patch) -> None:
    patch(client_command, "PIECE", 1_000_000)
