"""The promises of the core, one test each; those about members and hand-overs are in
test_changes.py."""

from __future__ import annotations

from counter_node.raft.core import Raft
from counter_node.raft.messages import (
    Append,
    Heartbeat,
    HeartbeatResponse,
    VoteRequest,
    VoteResponse,
)
from counter_node.raft.state import Config, Role
from counter_node.raft.types import (
    Entry,
    EntryKind,
    HardState,
    SnapshotMeta,
)

from tests.support.unit.raft_network import Network, membership


def test_a_node_without_membership_never_campaigns() -> None:
    node = Raft(Config(7), HardState(), SnapshotMeta(), [], lambda low, high: low)
    for _ in range(1_000):
        node.tick()
    assert node.role is Role.FOLLOWER
    assert node.term == 0
    assert node.take_messages() == []


def test_a_single_voter_elects_itself_and_commits_alone() -> None:
    net = Network(1)
    net.tick(30)
    assert net.leaders() == [1]
    net.nodes[1].propose(b"x")
    net.settle()
    assert net.applied[1] == [b"x"]


def test_what_is_proposed_is_applied_everywhere_in_order() -> None:
    net = Network(5)
    leader = net.elect(2)
    for data in (b"a", b"b", b"c"):
        assert leader.propose(data)
    net.settle()
    net.tick()  # they know by then that the last is committed
    assert all(applied == [b"a", b"b", b"c"] for applied in net.applied.values())


def test_who_waits_for_an_entry_hears_at_once_that_it_is_committed_others_by_the_next_tick() -> (
    None
):
    net = Network(3)
    leader = net.elect(1)
    assert leader.propose(b"mine")
    net.settle()
    assert net.applied == {1: [b"mine"], 2: [], 3: []}
    assert leader.propose(b"forwarded", origin=3)
    net.settle()
    assert net.applied == {1: [b"mine", b"forwarded"], 2: [b"mine"], 3: [b"mine", b"forwarded"]}
    net.tick(1, 1)
    assert net.applied[2] == [b"mine", b"forwarded"]


def test_who_reads_hears_at_once_what_was_committed_before() -> None:
    net = Network(3)
    leader = net.elect(1)
    assert leader.propose(b"a")
    net.settle()
    net.nodes[2].read(7)
    net.settle()
    assert net.nodes[2].take_reads() == [(7, leader.log.committed)]
    assert net.applied[2] == [b"a"]


def test_a_vote_leaves_only_after_it_is_durable() -> None:
    net = Network(3)
    voter = net.nodes[2]
    voter.step(1, VoteRequest(2, False, 1, 1))
    assert voter.take_messages() == []
    persist = voter.take_persist()
    assert persist is not None
    assert persist.hard_state == HardState(2, 1, 1)
    assert persist.after == [(1, VoteResponse(2, False, True))]


def test_a_candidate_waits_for_its_disk_before_it_stands_again() -> None:
    net = Network(3)
    slow = net.nodes[1]
    slow.campaign()
    slow.take_messages()
    for voter in (2, 3):
        slow.step(voter, VoteResponse(2, True, True))
    written = slow.take_persist()
    assert written is not None
    for _ in range(100):
        slow.tick()
    assert (slow.role, slow.term) == (Role.CANDIDATE, 2), "its vote is still on its way to the disk"
    for to, message in written.after:
        net._deliver(1, to, message)
    for _ in range(4):
        slow.tick()
    net.settle()
    assert net.leaders() == [1]
    assert slow.term == 2, "the others had time to answer"


def test_a_vote_survives_a_restart_so_there_is_one_per_term() -> None:
    net = Network(3)
    net.nodes[2].step(1, VoteRequest(2, False, 1, 1))
    persist = net.nodes[2].take_persist()
    assert persist is not None
    assert persist.hard_state is not None
    again = Raft(
        Config(2), persist.hard_state, SnapshotMeta(1, 1, membership(3)), [], lambda low, high: low
    )
    again.step(3, VoteRequest(2, False, 1, 1))
    second = again.take_persist()
    assert second is not None
    assert second.after == [(3, VoteResponse(2, False, False, 1, 1))]


def test_an_entry_is_acknowledged_only_after_it_is_durable() -> None:
    net = Network(3)
    follower = net.nodes[2]
    follower.step(1, Append(2, 1, 1, 1, [Entry(2, 2, EntryKind.NOOP, b"")]))
    assert follower.take_messages() == []
    persist = follower.take_persist()
    assert persist is not None
    assert [e.index for e in persist.entries] == [2]
    assert len(persist.after) == 1


def test_entries_are_written_together_with_the_commit_index() -> None:
    """What makes membership changes at apply safe after a crash (core.py)."""
    net = Network(3)
    follower = net.nodes[2]
    follower.step(1, Append(2, 1, 1, 1, [Entry(2, 2, EntryKind.NOOP, b"")]))
    follower.take_persist()
    follower.step(1, Append(2, 2, 2, 2, [Entry(3, 2, EntryKind.DATA, b"x")]))
    persist = follower.take_persist()
    assert persist is not None
    assert persist.hard_state == HardState(2, 0, 2)


def test_a_candidate_with_a_shorter_log_is_refused() -> None:
    net = Network(3)
    net.isolate(3)
    leader = net.elect(1)
    leader.propose(b"x")
    net.settle()
    net.heal()
    net.nodes[3].leader_link_lost(1)
    for node in net.nodes.values():
        node.leader = 0
    net.nodes[3].campaign()
    net.settle()
    assert net.nodes[3].leadership is None


def test_an_entry_of_an_earlier_term_is_not_committed_by_counting_it() -> None:
    """Thesis figure 3.7: the new leader's own entry must be on a majority first."""
    net = Network(3)
    leader = net.elect(1)
    net.isolate(1)
    leader.propose(b"old")
    net.settle()
    assert net.applied[1] == []
    committed = leader.log.committed
    net.drop = lambda sender, to, message: (
        isinstance(message, Append) and sender == 1 and message.term > 2
    )
    for node in net.nodes.values():
        node.leader = 0
    leader.step_down()
    net.drop = lambda sender, to, message: isinstance(message, Append)
    leader.campaign()
    net.settle()
    assert leader.leadership is not None
    follower = leader.leadership.progress[2]
    follower.match = leader.log.last_index - 1  # the old entry only, not the no-op of the new term
    leader.leadership._advance_commit()
    assert leader.log.committed == committed


def test_a_leader_that_hears_no_majority_steps_down() -> None:
    net = Network(3)
    net.elect(1)
    net.isolate(1)
    net.tick(25, 1)
    assert net.leaders() == []


def test_an_isolated_node_does_not_depose_the_leader_when_it_comes_back() -> None:
    net = Network(3)
    net.elect(1)
    net.isolate(3)
    net.tick(200, 3)
    net.heal()
    net.tick(30)
    assert net.leaders() == [1]
    assert net.nodes[1].term == 2


def test_a_node_whose_disk_does_not_answer_neither_campaigns_nor_helps_others_to() -> None:
    """It could win pre-votes again and again, and its rising term would depose whom the others
    elect."""
    net = Network(3)
    net.elect(1)
    net.nodes[1].disk_answers = False
    net.nodes[1].step_down()
    net.nodes[1].campaign()
    net.isolate(3)
    net.nodes[2].leader_link_lost(1)
    net.tick(40)
    assert net.nodes[2].term == 2, "n1 grants no pre-vote: it could not follow it by a vote"
    net.heal()
    net.tick(40)
    assert net.leaders() in ([2], [3])
    term = net.nodes[1].term
    net.tick(100)
    assert net.nodes[1].term == term == net.nodes[2].term


def test_a_voter_that_does_not_know_yet_that_it_is_one_votes_when_nobody_leads() -> None:
    """It was promoted and is behind, so for itself it is a learner. Seed 52003: its timer began
    again and again, as if it heard the leader."""
    net = Network(voters=3, learners=1)
    net.elect(1)
    behind = net.nodes[4]
    behind._timeout = net.nodes[4].config.election_ticks
    for _ in range(10 * behind.config.election_ticks):
        behind.tick()
    behind.step(2, VoteRequest(3, True, 5, 2, False))
    assert VoteResponse(3, True, True) in [message for _, message in behind.take_messages()]


def test_voters_that_hear_a_leader_ignore_a_campaign() -> None:
    net = Network(3)
    net.elect(1)
    net.nodes[2].step(3, VoteRequest(99, False, 99, 99))
    assert net.nodes[2].term == 2


def test_a_closed_link_to_the_leader_leads_to_a_quick_election() -> None:
    net = Network(3)
    net.elect(1)
    net.isolate(1)
    for node in (2, 3):
        net.nodes[node].leader_link_lost(1)
    net.tick(8, 2, 3)
    assert [n for n in net.leaders() if n != 1], "no new leader within 8 ticks"


def test_a_read_is_confirmed_only_by_answers_to_heartbeats_sent_after_it() -> None:
    net = Network(3)
    leader = net.elect(1)
    net.tick(2)
    net.drop = lambda sender, to, message: True
    old = leader.take_messages()
    assert old == []
    leader.read(5)
    leader.step(2, HeartbeatResponse(leader.term, 0))  # an answer to an older heartbeat
    assert leader.take_reads() == []
    sent = [m for _, m in leader.take_messages() if isinstance(m, Heartbeat)]
    assert sent
    assert sent[0].read > 0
    leader.step(2, HeartbeatResponse(leader.term, sent[0].read))
    assert leader.take_reads() == [(5, leader.log.committed)]


def test_a_new_leader_answers_no_read_before_its_own_term_has_committed() -> None:
    """RedisRaft's stale reads after an election (issues 18, 19): no no-op, no safe read index."""
    net = Network(3)
    net.drop = lambda sender, to, message: isinstance(message, Append)
    leader = net.nodes[1]
    leader.campaign()
    net.settle()
    assert leader.leadership is not None
    leader.read(9)
    net.tick(3)
    assert leader.take_reads() == []
    net.heal()
    net.tick(3)
    assert [r for r, _ in leader.take_reads()] == [9]


def test_a_follower_reads_through_the_leader() -> None:
    net = Network(3)
    net.elect(1)
    assert net.nodes[3].read(77)
    net.settle()
    assert [r for r, _ in net.nodes[3].take_reads()] == [77]


def test_an_entry_that_could_not_be_sent_is_never_appended() -> None:
    net = Network(3, max_entry_bytes=100)
    leader = net.elect(1)
    last = leader.log.last_index
    assert not leader.propose(b"x" * 101)
    assert leader.log.last_index == last
    assert leader.propose(b"x" * 100)


def test_what_one_write_to_the_disk_does_not_take_waits_and_so_do_messages_that_depend_on_it() -> (
    None
):
    raft = Raft(
        Config(1, max_write_bytes=250),
        HardState(1, 0, 1),
        SnapshotMeta(1, 1, membership(3)),
        [],
        lambda low, high: low,
    )
    raft.step(2, Append(1, 1, 1, 1, [Entry(i, 1, EntryKind.DATA, b"x" * 100) for i in range(2, 7)]))
    raft.step(3, VoteRequest(2, False, 9, 9, True))
    found = []
    while (persist := raft.take_persist()) is not None:
        found.append(
            ([e.index for e in persist.entries], [type(m).__name__ for _, m in persist.after])
        )
    assert found == [([2, 3], []), ([4, 5], []), ([6], ["AppendResponse", "VoteResponse"])]
