"""How members come, rise and go, leadership is handed over, and a member that lags is caught up."""

from __future__ import annotations

import pytest
from counter_node.raft.core import Raft
from counter_node.raft.fitness import Busy, NotReady
from counter_node.raft.membership import ChangeRefused
from counter_node.raft.messages import (
    Append,
    InstallSnapshot,
)
from counter_node.raft.state import Config
from counter_node.raft.types import (
    ChangeKind,
    HardState,
    Member,
    MembershipChange,
    SnapshotMeta,
)

from tests.support.unit.raft_network import Network


def _learner(node: int) -> MembershipChange:
    return MembershipChange(
        ChangeKind.ADD_LEARNER, node, Member(node, f"n{node}", "a:1", "a:2", False)
    )


def test_a_learner_catches_up_by_snapshot_and_becomes_a_voter() -> None:
    net = Network(1)
    leader = net.elect(1)
    for n in range(50):
        leader.propose(b"%d" % n)
    net.settle()
    joiner = Raft(Config(2), HardState(), SnapshotMeta(), [], net.random.randint)
    net.nodes[2], net.applied[2] = joiner, []
    assert leader.leadership is not None
    leader.leadership.propose_change(_learner(2))
    net.tick(3)
    assert any(isinstance(m, InstallSnapshot) for _, _, m in net.sent)
    assert net.applied[2] == net.applied[1]
    leader.leadership.propose_change(MembershipChange(ChangeKind.PROMOTE, 2))
    net.tick(3)
    assert joiner.voters == {1, 2}


def test_only_one_membership_change_is_in_flight() -> None:
    net = Network(3)
    leader = net.elect(1)
    assert leader.leadership is not None
    leader.leadership.propose_change(_learner(4))
    with pytest.raises(Busy):
        leader.leadership.propose_change(_learner(5))


def test_a_new_leader_makes_no_change_before_its_own_term_has_committed() -> None:
    net = Network(3)
    net.drop = lambda sender, to, message: isinstance(message, Append)
    leader = net.nodes[1]
    leader.campaign()
    net.settle()
    assert leader.leadership is not None
    with pytest.raises(Busy):
        leader.leadership.propose_change(_learner(4))


def test_a_learner_that_is_behind_is_not_promoted() -> None:
    net = Network(1, promote_lag=5)
    leader = net.elect(1)
    assert leader.leadership is not None
    leader.leadership.propose_change(_learner(2))
    net.settle()
    with pytest.raises(NotReady, match="behind"):
        leader.leadership.propose_change(MembershipChange(ChangeKind.PROMOTE, 2))


def test_a_removed_id_is_never_added_again() -> None:
    net = Network(3)
    leader = net.elect(1)
    assert leader.leadership is not None
    leader.leadership.propose_change(MembershipChange(ChangeKind.REMOVE, 3))
    net.settle()
    assert leader.voters == {1, 2}
    with pytest.raises(ChangeRefused, match="never reused"):
        leader.leadership.propose_change(_learner(3))


def test_leadership_is_handed_over_at_once_and_nothing_is_proposed_meanwhile() -> None:
    net = Network(3)
    leader = net.elect(1)
    assert leader.leadership is not None
    leader.leadership.transfer(3)
    assert not leader.propose(b"x")
    net.settle()
    assert net.leaders() == [3]


def test_a_transfer_that_does_not_work_out_ends_after_an_election_timeout() -> None:
    net = Network(3)
    leader = net.elect(1)
    assert leader.leadership is not None
    net.isolate(3)
    leader.leadership.transfer(3)
    net.tick(12)
    assert leader.leadership is not None
    assert leader.propose(b"x")


def test_a_lagging_follower_is_repaired_after_a_conflict() -> None:
    net = Network(3)
    old = net.elect(1)
    net.isolate(1)
    for n in range(5):
        old.propose(b"lost %d" % n)
    net.settle()
    for node in (2, 3):
        net.nodes[node].leader_link_lost(1)
    net.tick(30, 2, 3)
    (new,) = [n for n in net.leaders() if n != 1]
    net.nodes[new].propose(b"kept")
    net.settle()
    net.heal()
    net.tick(30)
    assert net.applied[1] == [b"kept"]
    assert net.nodes[1].log.last_index == net.nodes[new].log.last_index


def test_proposals_beyond_the_uncommitted_limit_are_refused_not_queued() -> None:
    net = Network(3, max_uncommitted_bytes=100)
    leader = net.elect(1)
    net.isolate(1)
    assert leader.propose(b"x" * 90)
    assert not leader.propose(b"x" * 20)
    net.heal()
    net.tick(3)
    assert leader.propose(b"x" * 20)


def test_a_snapshot_that_is_lost_on_the_way_is_offered_again() -> None:
    net = Network(1)
    leader = net.elect(1)
    joiner = Raft(Config(2), HardState(), SnapshotMeta(), [], net.random.randint)
    net.nodes[2], net.applied[2] = joiner, []
    assert leader.leadership is not None
    net.drop = lambda sender, to, message: isinstance(message, InstallSnapshot)
    leader.leadership.propose_change(_learner(2))
    net.tick(10)
    net.heal()
    net.tick(80)
    assert joiner.log.committed == leader.log.committed


def test_a_follower_that_lost_a_whole_window_of_messages_is_found_out() -> None:
    """Found by simulation seed 10028: a full window of lost messages was never refilled."""
    net = Network(3, max_inflight=4)
    leader = net.elect(1)
    net.drop = lambda sender, to, message: to == 3
    for n in range(10):
        leader.propose(b"%d" % n)
        net.settle()
    net.heal()
    net.tick(5)
    assert net.applied[3] == net.applied[1]


def test_names_and_addresses_in_the_configuration_are_bounded() -> None:
    net = Network(1)
    leader = net.elect(1)
    assert leader.leadership is not None
    for member in (
        Member(9, "n" * 254, "n9:1", "n9:2", False),
        Member(9, "n9", "p" * 260, "n9:2", False),
        Member(9, "n9", "n9:1", "r" * 260, False),
    ):
        with pytest.raises(ChangeRefused, match="at most"):
            leader.leadership.propose_change(MembershipChange(ChangeKind.ADD_LEARNER, 9, member))
