"""Rules of the core whose breaking the simulator alone would not show: safety holds without them,
or only just (found by `make mutations`)."""

from __future__ import annotations

import pytest
from counter_node.raft.log import RaftLog
from counter_node.raft.messages import Append, AppendResponse, TimeoutNow
from counter_node.raft.types import Entry, EntryKind

from tests.support.unit.raft_network import Network


def test_leadership_is_handed_only_to_who_has_the_whole_log() -> None:
    net = Network(3)
    leader = net.elect(1)
    net.drop = lambda sender, to, message: to == 3 and isinstance(message, Append)
    assert leader.propose(b"x")
    net.settle()
    assert leader.leadership is not None
    leader.leadership.transfer(3)
    net.settle()
    assert not [m for _, to, m in net.sent if isinstance(m, TimeoutNow)], (
        "it lacks an entry, and would lose the election"
    )
    assert net.leaders() == [1]
    net.drop = lambda sender, to, message: False
    net.tick(3, 1)
    assert net.leaders() == [3]


def test_a_new_leader_commits_what_it_found_in_its_log_though_nobody_writes() -> None:
    net = Network(3)
    leader = net.elect(1)
    net.drop = lambda sender, to, message: isinstance(message, AppendResponse)
    assert leader.propose(b"x")
    net.settle()
    assert net.applied == {1: [], 2: [], 3: []}
    net.drop = lambda sender, to, message: 1 in (sender, to)
    net.tick(25, 2, 3)
    assert net.applied[2] == net.applied[3] == [b"x"]


def test_what_is_committed_is_never_cut() -> None:
    log = RaftLog(0, 0, [Entry(n, 1, EntryKind.DATA, b"") for n in (1, 2, 3)], 2)
    with pytest.raises(AssertionError, match="committed"):
        log.append_after(1, [Entry(2, 2, EntryKind.DATA, b"")])
    assert [e.term for e in log.entries] == [1, 1, 1]
    log.append_after(2, [Entry(3, 2, EntryKind.DATA, b"")])
    assert [e.term for e in log.entries] == [1, 1, 2]
