"""What a node does only while it leads: replicate, commit, confirm reads, change the membership,
hand over.

The object is made when an election is won and dropped when the term ends, so nothing of an old
leadership can leak into a new one."""

from __future__ import annotations

import msgspec

from counter_node.raft import quorum
from counter_node.raft.fitness import Busy, require_caught_up, require_live_majority
from counter_node.raft.lease import Lease
from counter_node.raft.membership import ChangeRefused, changed, require_short
from counter_node.raft.messages import (
    Append,
    AppendResponse,
    Heartbeat,
    HeartbeatResponse,
    InstallSnapshot,
    Message,
    ReadRequest,
    ReadResponse,
    SnapshotResponse,
    TimeoutNow,
)
from counter_node.raft.progress import Pace, Progress
from counter_node.raft.readindex import PendingRead, ReadQueue
from counter_node.raft.state import State
from counter_node.raft.types import NONE, ChangeKind, Entry, EntryKind, MembershipChange, NodeId


class Leadership:
    def __init__(self, raft: State) -> None:
        self._raft = raft
        self._config = raft.config
        log = raft.log
        self.progress = {m.id: Progress(log.last_index + 1) for m in raft.membership.members}
        # Our vote for ourselves was durable before anyone was asked, and all earlier entries with
        # it.
        assert log.unstable == log.last_index + 1, "a candidate's log is durable"
        self.progress[raft.id].match = log.last_index
        self.transferee: NodeId = NONE
        self._transfer_elapsed = 0
        self._heartbeat_elapsed = 0
        self._quorum_elapsed = 0
        self._reads = ReadQueue(raft.id)
        self._lease = Lease(raft.promise, raft.id) if raft.promise is not None else None
        self._early_reads: list[tuple[NodeId, int]] = []
        """Asked before this term had committed anything."""
        self._read_heartbeat_due = False
        self._commit_news_due = False
        self._uncommitted_bytes = 0
        self._append(EntryKind.NOOP, b"")
        self._term_start = log.last_index
        # No change before this term has committed something: earlier entries may hold one, and even
        # if none does, two leaders of neighbouring terms could otherwise make different changes to
        # the same configuration (Ongaro, raft-dev 2015).
        self._change_index = self._term_start

    # --- proposals --------------------------------------------------------------------------------

    def propose(self, kind: EntryKind, data: bytes, origin: NodeId = NONE) -> bool:
        """`origin`: the member that sent it here and waits for the entry to be committed. An entry
        that could not be sent is never appended."""
        if self.transferee != NONE or len(data) > self._config.max_entry_bytes:
            return False
        if (
            self._uncommitted_bytes
            and self._uncommitted_bytes + len(data) > self._config.max_uncommitted_bytes
        ):
            return False
        self._append(kind, data)
        self.wanted(origin, self._raft.log.last_index)
        return True

    def wanted(self, origin: NodeId, index: int) -> None:
        """The member waits for the entry at `index` to be committed."""
        if origin in self.progress:
            self.progress[origin].wants = max(self.progress[origin].wants, index)

    def _append(self, kind: EntryKind, data: bytes) -> None:
        log = self._raft.log
        log.append([Entry(log.last_index + 1, self._raft.term, kind, data)])
        self._uncommitted_bytes += len(data)

    def propose_change(self, change: MembershipChange) -> int | None:
        """Index of the CONFIG entry, or None when the change is in force already. Raises
        ChangeRefused, Busy, NotReady."""
        raft = self._raft
        if changed(raft.membership, change) is raft.membership:
            return None
        if change.kind is ChangeKind.REMOVE and change.id == raft.id:
            raise ChangeRefused("the leader does not remove itself; transfer leadership first")
        if self._change_index > raft.log.applied or self.transferee != NONE:
            raise Busy("another membership change or a transfer is in flight")
        if change.kind is ChangeKind.PROMOTE:
            most = self._config.promote_lag
            require_caught_up(change.id, self.progress[change.id], raft.log.last_index, most)
        voters = changed(raft.membership, change).voters()
        if voters != raft.voters:
            require_live_majority(
                voters, {n for n, p in self.progress.items() if p.lives} | {raft.id}
            )
        if change.member is not None:
            require_short(change.member)
        self._append(EntryKind.CONFIG, msgspec.msgpack.encode(change))
        self._change_index = raft.log.last_index
        return self._change_index

    # --- the clock --------------------------------------------------------------------------------

    def tick(self) -> bool:
        """True when no majority answers any more: this leadership is over."""
        self._commit_news_due = True
        self._heartbeat_elapsed += 1
        self._quorum_elapsed += 1
        if self.transferee != NONE:
            self._transfer_elapsed += 1
            if self._transfer_elapsed >= self._config.election_ticks:
                self.transferee = NONE  # thesis 3.10: it did not work out; take proposals again
        if self._quorum_elapsed >= self._config.election_ticks:
            self._quorum_elapsed = 0
            if not self._heard_from_quorum():
                return True
        if self._heartbeat_elapsed >= self._config.heartbeat_ticks:
            self._heartbeat()
        return False

    def _heard_from_quorum(self) -> bool:
        """CheckQuorum (thesis 6.2): a leader that no majority answers gives up, so that its clients
        learn it."""
        active = {n: 1 for n, p in self.progress.items() if p.recently_active}
        active[self._raft.id] = 1
        for progress in self.progress.values():
            progress.was_active, progress.recently_active = progress.recently_active, False
        return quorum.acknowledged(self._raft.voters, active) == 1

    # --- sending ----------------------------------------------------------------------------------

    @property
    def has_nothing_to_send(self) -> bool:
        """`flush` would send nothing: nearly always every member was sent everything and waits for
        no news."""
        me, last, committed = self._raft.id, self._raft.log.last_index, self._raft.log.committed
        if self._read_heartbeat_due or self._commit_news_due:
            return False
        for node, progress in self.progress.items():
            up_to_date = progress.next > last and progress.pace is Pace.REPLICATE
            if node != me and not (
                up_to_date
                and (progress.sent_commit >= committed or progress.sent_commit >= progress.wants)
            ):
                return False
        return True

    def flush(self) -> None:
        """Once a turn: what the turn produced goes out as one message to each member."""
        if self._read_heartbeat_due:
            self._heartbeat()
        if not self.has_nothing_to_send:
            for node in self.progress:
                if node != self._raft.id:
                    self._replicate(node)
        self._commit_news_due = False

    def _heartbeat(self) -> None:
        self._heartbeat_elapsed = 0
        self._read_heartbeat_due = False
        raft = self._raft
        if self._lease is not None:
            self._lease.sent(self._reads.new_round())
        for node, progress in self.progress.items():
            if node != raft.id:
                raft.send(
                    node,
                    Heartbeat(
                        raft.term, min(progress.match, raft.log.committed), self._reads.position
                    ),
                )

    def _replicate(self, node: NodeId, *, nudge: bool = False) -> None:
        """Send what the member lacks and may get now; with `nudge` at least an empty append, to
        find out where it stands. The next entries say that the commit index moved, or else the
        next tick does. Only a member that waits for it hears at once: half of the messages at low
        load are saved."""
        progress, raft, config = self.progress[node], self._raft, self._config
        log = raft.log
        while progress.may_send(config.max_inflight, config.max_inflight_bytes):
            if progress.next <= log.offset:
                progress.snapshot(raft.snapshot)
                break
            entries = log.slice(progress.next, config.max_append_bytes)
            probing = progress.pace is Pace.PROBE
            if not entries and not probing and not nudge:
                in_time = progress.sent_commit >= progress.wants and not self._commit_news_due
                if in_time or progress.sent_commit >= log.committed:
                    return
            prev = progress.next - 1
            raft.send(node, Append(raft.term, prev, log.term(prev), log.committed, entries))
            progress.sent(entries)
            progress.sent_commit = log.committed
            if progress.next > log.last_index:
                break  # all that there is
            nudge = False
        if progress.pending is not None and progress.active and not progress.probed:
            progress.probed = True
            raft.send(node, InstallSnapshot(raft.term, progress.pending, progress.received))

    def snapshot_gone(self, node: NodeId) -> None:
        """The snapshot that is being sent to `node` cannot be read any more, a newer one took its
        place: begin again with that."""
        progress = self.progress.get(node)
        if progress is not None and progress.pending is not None:
            progress.snapshot(self._raft.snapshot)

    def _nudge(self, node: NodeId, progress: Progress) -> None:
        """The window is full: an empty append past it. It is refused if what the window holds was
        lost, and then the member is probed."""
        raft, prev = self._raft, progress.next - 1
        raft.send(node, Append(raft.term, prev, raft.log.term(prev), raft.log.committed, []))

    # --- answers ----------------------------------------------------------------------------------

    def step(self, sender: NodeId, message: Message) -> None:
        if isinstance(message, ReadRequest):
            self.read(sender, message.id)
            return
        progress = self.progress.get(sender)
        if progress is None:
            return  # removed in the meantime
        progress.heard()
        if isinstance(message, AppendResponse):
            if message.ok:
                self._on_acknowledged(sender, progress, message.index)
            elif progress.rejected(message.index, self._retry_at(message)):
                self._replicate(sender)
        elif isinstance(message, HeartbeatResponse):
            self._on_heartbeat_response(sender, progress, message)
        elif isinstance(message, SnapshotResponse) and progress.piece_received(
            message.index, message.offset
        ):
            self._replicate(sender)

    def _retry_at(self, m: AppendResponse) -> int:
        return self._raft.log.find_conflict(m.hint_index, m.hint_term)[0] + 1

    def _on_acknowledged(self, sender: NodeId, progress: Progress, index: int) -> None:
        log = self._raft.log
        assert index <= log.last_index, (
            f"{sender:016x} acknowledges entry {index}, the log ends at {log.last_index}"
        )
        news = progress.acknowledged(index)
        if sender != self._raft.id:
            if progress.pace is Pace.PROBE or (
                progress.pace is Pace.SNAPSHOT and progress.match >= log.offset
            ):
                progress.replicate()
            elif progress.pending is not None and progress.match >= progress.pending.index:
                # installed, but the log was compacted further meanwhile: the next snapshot follows
                progress.probe()
            if sender == self.transferee and progress.match == log.last_index:
                self._send_timeout_now(sender)
        if (
            news and index > log.committed
        ):  # who passes what is committed already moves no majority further
            self._advance_commit()

    def _on_heartbeat_response(
        self, sender: NodeId, progress: Progress, m: HeartbeatResponse
    ) -> None:
        if progress.pace is Pace.SNAPSHOT:
            progress.waited += 1
            if (
                progress.waited >= self._config.election_ticks
            ):  # the piece, or its answer, was lost; the disk may also be busy with it
                progress.waited, progress.probed = 0, False
        else:
            progress.probed = False
        if progress.pace is not Pace.SNAPSHOT and progress.match < self._raft.log.last_index:
            if progress.may_send(self._config.max_inflight, self._config.max_inflight_bytes):
                self._replicate(sender, nudge=True)
            else:
                self._nudge(sender, progress)
        self._reads.echoed(sender, m.read)
        if self._lease is not None:
            self._lease.echoed(sender, m.read, m.promise_ms)
        self._deliver_reads()

    def unreachable(self, node: NodeId) -> None:
        """Messages to `node` may have been lost (its link was cut): find out where it stands."""
        progress = self.progress.get(node)
        if progress is None or node == self._raft.id:
            return
        progress.cut_off = True
        if progress.pace is not Pace.REPLICATE:
            # where it stands is being asked already; going back to `match` could cost a snapshot
            progress.probed = False
        else:
            progress.probe()

    # --- committing -------------------------------------------------------------------------------

    def _advance_commit(self) -> None:
        raft = self._raft
        index = quorum.acknowledged(raft.voters, {n: p.match for n, p in self.progress.items()})
        # Only entries of this term are committed by counting; earlier ones follow (thesis 3.6.2).
        if index > raft.log.committed and raft.log.term(index) == raft.term:
            first = max(
                raft.log.committed + 1, self._term_start
            )  # entries of earlier terms were never counted in
            for position in range(first - raft.log.offset - 1, index - raft.log.offset):
                self._uncommitted_bytes -= len(raft.log.entries[position].data)
            raft.log.commit_to(index)
            if self._early_reads:
                early, self._early_reads = self._early_reads, []
                for asker, read_id in early:
                    self.read(asker, read_id)

    def membership_changed(self) -> None:
        raft = self._raft
        ids = {m.id for m in raft.membership.members}
        for node in [n for n in self.progress if n not in ids]:
            gone = self.progress.pop(node)
            # it learns that it is out, if it has the entry that says so
            committed = min(gone.match, raft.log.committed)
            raft.send(node, Heartbeat(raft.term, committed, self._reads.position))
        for node in ids - self.progress.keys():
            self.progress[node] = Progress(raft.log.last_index + 1)
            self.progress[node].recently_active = True  # it gets one full period to answer
        if self.transferee not in raft.voters:
            self.transferee = NONE
        if self._lease is not None:
            self._lease.begin_again()
        self._advance_commit()  # a smaller quorum may have been reached already
        self._deliver_reads()

    # --- reads ------------------------------------------------------------------------------------

    def read(self, asker: NodeId, read_id: int) -> None:
        raft = self._raft
        if raft.log.committed < self._term_start:
            self._early_reads.append(
                (asker, read_id)
            )  # thesis 6.4 step 1: until then the commit index may be behind
            return
        if self._lease is not None and self._lease.valid(raft.voters):
            self._deliver(PendingRead(0, asker, read_id, raft.log.committed))
            return
        self._reads.add(asker, read_id, raft.log.committed)
        self._read_heartbeat_due = True
        self._deliver_reads()  # a majority of one needs nobody's echo

    def _deliver_reads(self) -> None:
        for read in self._reads.confirmed(self._raft.voters):
            self._deliver(read)

    def _deliver(self, read: PendingRead) -> None:
        raft = self._raft
        if read.asker == raft.id:
            raft.reads.append((read.id, read.commit))
        else:
            raft.send(read.asker, ReadResponse(raft.term, read.id, read.commit))
            if read.asker in self.progress:
                self.progress[read.asker].wants = max(self.progress[read.asker].wants, read.commit)

    # --- handing over -----------------------------------------------------------------------------

    def transfer(self, to: NodeId) -> NodeId:
        """Hand leadership to voter `to`, or with NONE to the one furthest along. Returns who it is.
        Raises ChangeRefused, Busy."""
        raft = self._raft
        if to == NONE:
            others = [n for n in raft.voters if n != raft.id]
            if not others:
                raise ChangeRefused("there is no other voter to lead")
            to = max(
                others, key=lambda n: (self.progress[n].recently_active, self.progress[n].match, n)
            )
        if to == raft.id:
            return to
        if to not in raft.voters:
            raise ChangeRefused(f"node {to:016x} is not a voter")
        if self.transferee not in (NONE, to):
            raise Busy(f"leadership is being handed to {self.transferee:016x}")
        if self.transferee == NONE:
            self.transferee = to
            self._transfer_elapsed = 0
            if self.progress[to].match == raft.log.last_index:
                self._send_timeout_now(to)
        return to

    def _send_timeout_now(self, to: NodeId) -> None:
        if self._lease is not None:
            self._lease.give_up()  # whenever it arrives, it breaks the voters' promises
        self._raft.send(to, TimeoutNow(self._raft.term))
