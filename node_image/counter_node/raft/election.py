"""How a node comes to lead or to follow: terms, votes, the election timer, and what makes it give
up.

A campaign begins with a pre-vote, which binds nobody and changes no term; only who would win it
enters a new term. A vote, one's own included, is durable before it is sent. Section numbers are
those of Ongaro's thesis."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from counter_node.raft import quorum
from counter_node.raft.contact import Contact
from counter_node.raft.leadership import Leadership
from counter_node.raft.lease import Promise
from counter_node.raft.messages import (
    OF_LEADER,
    HeartbeatResponse,
    Message,
    VoteRequest,
    VoteResponse,
)
from counter_node.raft.removal import is_later, why_not_believed
from counter_node.raft.state import Config, Role, State
from counter_node.raft.types import NONE, Entry, EntryKind, HardState, NodeId, Removal, SnapshotMeta


class Elections(State):
    def __init__(
        self,
        config: Config,
        hard_state: HardState,
        snapshot: SnapshotMeta,
        entries: Sequence[Entry],
        randint: Callable[[int, int], int],
        promise: Promise | None = None,
    ) -> None:
        """See `State`. `randint(low, high)` is inclusive."""
        super().__init__(config, hard_state, snapshot, entries, promise)
        self.leadership: Leadership | None = None
        # set by who owns the disk; without one there is no use in asking for votes, nor in
        # promising one
        self.disk_answers = True
        self._randint = randint
        self._votes: dict[NodeId, bool] = {}
        self._elapsed = 0
        self._timeout = self._draw_timeout()
        self._contact = Contact()
        self.believed_removal: Removal | None = None  # by a peer, and believed (removal.py)
        self._given_up = False  # by a later history

    def campaign(self, *, transfer: bool = False) -> None:
        """Start an election, with a pre-vote unless leadership is being handed to us. Nothing
        happens where it would be wrong to."""
        if (
            self.leadership is not None
            or self.id not in self.voters
            or not self.disk_answers
            or self.believed_removal is not None
        ):
            return
        if self._install is not None or self._unapplied_change() or self._vote_on_its_way:
            return
        self._votes = {}
        self._timeout = self._draw_short_timeout()
        self._elapsed = 0
        self.leader = NONE
        if transfer:
            self._become_candidate(transfer=True)
        else:
            self.role = Role.PRECANDIDATE
            self._ask_for_votes(pre=True)
            self._count_vote(self.id, True)

    def hears_of_removal(
        self, removal: Removal | None, mine: Sequence[str], theirs: Sequence[str]
    ) -> str:
        """A peer refuses this node as a removed one. Empty when that is believed, else why not
        (removal.py)."""
        reason = why_not_believed(self, mine, removal, theirs)
        if not reason:
            self.believed_removal, self._given_up = (
                removal,
                self._given_up or is_later(mine, theirs),
            )
            self._become_follower(self.term, NONE)
        return reason

    @property
    def silent_ticks(self) -> int:
        """For how long neither a leader nor a majority of the voters was heard (contact.py)."""
        return self._contact.silent_ticks(self.voters, self.id)

    def step_down(self) -> None:
        """The leader gives up, because its disk or its loop stalls."""
        if self.leadership is not None:
            self._become_follower(self.term, NONE)

    def leader_link_lost(self, node: NodeId) -> None:
        """The link from `node` was closed: if it leads, it probably died. Only a hint: a pre-vote,
        which fails if others still hear it. The first of the other voters asks at once, each
        further one a tick later, so that they do not split the votes."""
        if self.leadership is not None or node != self.leader:
            return
        self.leader = NONE
        rank = sorted((self.voters | {self.id}) - {node}).index(self.id)
        self._elapsed = max(self._elapsed, self._timeout - rank)
        if rank == 0 and not self._promised():
            self.campaign()

    # --- the timer --------------------------------------------------------------------------------

    def _promised(self) -> bool:
        return self.promise is not None and self.promise.binds()

    def _draw_timeout(self) -> int:
        return self._randint(self.config.election_ticks, 2 * self.config.election_ticks - 1)

    def _draw_short_timeout(self) -> int:
        """While nobody leads there is nobody to be patient with. An answer that takes longer than
        this costs no term, as it is a pre-vote first."""
        return self._randint(max(1, self.config.election_ticks // 2), self.config.election_ticks)

    @property
    def _vote_on_its_way(self) -> bool:
        """A candidate's own vote is not durable yet, so nobody was asked. One more term would
        outdate the answers before they come: no election would end while disks are slower than the
        timeout."""
        return self.role is Role.CANDIDATE and self.id not in self._votes

    def _unapplied_change(self) -> bool:
        log = self.log
        unapplied = log.entries[log.applied - log.offset : log.committed - log.offset]
        return any(e.kind is EntryKind.CONFIG for e in unapplied)

    # --- terms ------------------------------------------------------------------------------------

    def _meet_higher_term(self, sender: NodeId, message: Message) -> bool:
        """False when the message is to be ignored."""
        self._contact.heard(sender)
        if isinstance(message, VoteRequest):
            hears_leader = self.leader != NONE and self._elapsed < self.config.election_ticks
            if (hears_leader or self._promised()) and not message.transfer:
                return False  # thesis 4.2.3: a disturber does not depose a leader that is heard
            if message.pre:
                return True  # asks about a term that nobody has entered
        if isinstance(message, VoteResponse) and message.pre and message.granted:
            return True  # answers our own question about the next term
        leads = isinstance(message, OF_LEADER)
        self._become_follower(message.term, sender if leads else NONE)
        return True

    def _answer_lower_term(self, sender: NodeId, message: Message) -> None:
        self._contact.heard(sender)
        if isinstance(message, OF_LEADER):
            self.send(
                sender, HeartbeatResponse(self.term, 0)
            )  # an old leader: our term makes it step down
        elif isinstance(message, VoteRequest) and message.pre:
            self.send(sender, self._refusal(pre=True))

    def _become_follower(self, term: int, leader: NodeId) -> None:
        assert term >= self.term, "terms never fall"
        if term > self.term:
            self.term, self.vote = term, NONE
        self.role, self.leader, self.leadership = Role.FOLLOWER, leader, None
        self._votes = {}
        self._elapsed = 0
        self._timeout = self._draw_timeout()

    # --- elections --------------------------------------------------------------------------------

    def _become_candidate(self, *, transfer: bool) -> None:
        assert not self._unapplied_change(), (
            "a candidate asks the voters of every change that it knows to be committed"
        )
        self.term, self.vote = self.term + 1, self.id
        self.role, self.leader, self._votes = Role.CANDIDATE, NONE, {}
        self._ask_for_votes(pre=False, transfer=transfer)
        self.once_durable(
            self.id, VoteResponse(self.term, False, True)
        )  # our own vote counts once it is durable

    def _ask_for_votes(self, *, pre: bool, transfer: bool = False) -> None:
        term = self.term + 1 if pre else self.term
        request = VoteRequest(term, pre, self.log.last_index, self.log.last_term, transfer)
        # A real request names a log and a term that must survive a crash of ours; a pre-vote binds
        # nobody.
        ask = self.send if pre else self.once_durable
        for voter in sorted(self.voters - {self.id}):
            ask(voter, request)

    def _on_vote_request(self, sender: NodeId, m: VoteRequest) -> None:
        self._contact.heard(sender)
        if self._promised() and not m.transfer:
            return
        free = (
            self.vote == sender
            or (self.vote == NONE and self.leader == NONE)
            or (m.pre and m.term > self.term)
        )
        up_to_date = (m.last_term, m.last_index) >= (self.log.last_term, self.log.last_index)
        granted = free and up_to_date
        if m.pre:
            granted = granted and self.disk_answers
            self.send(
                sender, VoteResponse(m.term, True, True) if granted else self._refusal(pre=True)
            )
            return
        if granted:
            self.vote = sender
            self._elapsed = 0
        self.once_durable(
            sender, VoteResponse(self.term, False, True) if granted else self._refusal(pre=False)
        )

    def _refusal(self, *, pre: bool) -> VoteResponse:
        return VoteResponse(
            self.term, pre, False, self.log.committed, self.log.term(self.log.committed)
        )

    def _on_vote_response(self, sender: NodeId, m: VoteResponse) -> None:
        self._contact.heard(sender)
        if self.leadership is None and not m.granted and self.log.matches(m.commit, m.commit_term):
            # What is committed stays so, whoever says it. Without this, who lacks the news that a
            # voter was removed could need its vote for ever.
            self.log.commit_to(m.commit)
            if self._unapplied_change():
                self._become_follower(
                    self.term, NONE
                )  # the majority that was asked may not be the one that counts
                self._timeout = self._draw_short_timeout()
        if (self.role, m.pre) in ((Role.PRECANDIDATE, True), (Role.CANDIDATE, False)):
            self._count_vote(sender, m.granted)

    def _count_vote(self, voter: NodeId, granted: bool) -> None:
        self._votes.setdefault(voter, granted)
        if voter == self.id:
            self._elapsed = 0  # the others are asked only now
        result = quorum.vote_result(self.voters, self._votes)
        if result is quorum.VoteResult.LOST:
            split = self.role is Role.CANDIDATE
            self._become_follower(self.term, NONE)
            if split:
                self._timeout = self._draw_short_timeout()
        elif result is quorum.VoteResult.WON:
            if self.role is Role.PRECANDIDATE:
                self._become_candidate(transfer=False)
            else:
                self.role, self.leader, self._elapsed = Role.LEADER, self.id, 0
                self.leadership = Leadership(self)

    def _on_timeout_now(self, sender: NodeId) -> None:
        if self.role is Role.FOLLOWER and sender == self.leader:
            self.campaign(transfer=True)
