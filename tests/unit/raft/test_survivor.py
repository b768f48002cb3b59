"""The last resort: what one survivor goes on from."""

from __future__ import annotations

import random

import pytest
from counter_node.counters import batches
from counter_node.counters import ops as o
from counter_node.counters.history import History
from counter_node.counters.machine import Machine
from counter_node.raft.alone import ELECTIONS, why_not_alone
from counter_node.raft.messages import Heartbeat, VoteResponse
from counter_node.raft.state import Config
from counter_node.raft.types import (
    NONE,
    Entry,
    EntryKind,
    HardState,
    Member,
    Membership,
    Removal,
    Snapshot,
    SnapshotMeta,
)
from counter_node.replica.founding import sole_survivor
from counter_node.replica.gateway import Gateway
from counter_node.replica.log_time import Clocks
from counter_node.replica.replica import Replica


def member(node: int) -> Member:
    return Member(node, f"n{node}", f"n{node}:7000", f"n{node}:6379", True)


def survivor(committed: int) -> Replica:
    """Node 1 of three, which has three entries: a session that is opened, and two increments; 9 was
    removed before."""
    machine = Machine()
    first = Snapshot(
        SnapshotMeta(1, 1, Membership((member(1), member(2), member(3)), (9,))), machine.snapshot()
    )
    session = (
        Machine()
        .apply(2, batches.stamp(1, batches.encode_open(5)), lambda _session, _number: [])
        .session
    )
    bodies = [
        batches.encode_open(5),
        *(batches.encode_batch(session, n, [[o.INCRBY, b"k", 1]]) for n in (1, 2)),
    ]
    entries = [
        Entry(2 + n, 4, EntryKind.DATA, batches.stamp(1, body)) for n, body in enumerate(bodies)
    ]
    gateway = Gateway(7, is_write=o.is_write, tick_ms=10, patience_ticks=100, retry_ticks=5)
    return Replica(
        Config(1),
        HardState(4, NONE, committed),
        first,
        entries,
        gateway=gateway,
        clocks=Clocks(lambda: 1),
        randint=random.Random(1).randint,
    )


def test_everything_in_its_log_is_kept_whether_it_knew_it_to_be_committed_or_not() -> None:
    for committed in (1, 3, 4):
        snapshot = sole_survivor(survivor(committed), member(1), "c" * 16)
        assert Machine.restore(snapshot.state).values == {b"k": 2}
        assert (snapshot.meta.index, snapshot.meta.term) == (5, 5), (
            "after all that was there, in a term of its own"
        )


def test_it_is_alone_and_every_other_id_is_removed_for_ever() -> None:
    membership = sole_survivor(survivor(1), member(1), "c" * 16).meta.membership
    assert [m.id for m in membership.members] == [1]
    assert sorted(membership.removed) == [2, 3, 9]


def test_it_begins_a_history_of_its_own_whose_parent_is_the_old_one() -> None:
    snapshot = sole_survivor(survivor(1), member(1), "c" * 16)
    (begun,) = Machine.restore(snapshot.state).lineage
    assert begun == History("c" * 16, snapshot.meta.index, "recover")
    assert snapshot.meta.membership.removal(2) == Removal(
        2, snapshot.meta.term, snapshot.meta.index
    )
    assert snapshot.meta.membership.removal(9) is None, "it was removed before anybody noted when"


def test_it_may_go_on_alone_only_after_several_elections_without_anybody() -> None:
    raft = survivor(4).raft
    assert ELECTIONS >= 3, "in an ordinary election the voters are silent for one or two"
    patience = ELECTIONS * raft.config.election_ticks
    for tick in range(3 * patience):
        if tick % 7 == 0 and tick < patience:
            raft.step(
                2, VoteResponse(raft.term, True, False)
            )  # a voter that refuses is there all the same
        assert bool(why_not_alone(raft, ())) == (raft.silent_ticks < patience), tick
        assert "voters answer" in why_not_alone(raft, (3,)) or raft.silent_ticks < patience
        raft.tick()
    assert why_not_alone(raft, ()) == ""
    assert why_not_alone(raft, (7, 9)) == "", "strangers are no voters"
    raft.step(2, Heartbeat(raft.term, 0, 0))
    assert "there is a leader" in why_not_alone(raft, ())


OLD, MINE, LATER = "a" * 16, "b" * 16, "c" * 16
FAR = 1 << 40


@pytest.mark.parametrize(
    ("theirs", "term", "index", "believed"),
    [
        ((OLD, MINE, LATER), 1, 2, True),  # it gave us up, whatever the numbers
        ((OLD,), FAR, FAR, False),
        ((LATER,), FAR, FAR, False),
        ((OLD, MINE), 4, 5, True),
        ((OLD, MINE), 4, 4, False),  # entry 4 is committed here
        ((OLD, MINE), 3, 5, False),  # after an entry of term 4 comes none of term 3
        ((OLD, MINE), 5, 2, True),  # others have gone on in a later term
        ((), 4, 4, False),
        ((), 4, 5, True),
    ],
)
def test_a_removal_is_believed_by_its_decision_and_history(
    theirs: tuple[str, ...], term: int, index: int, believed: bool
) -> None:
    raft = survivor(4).raft
    assert (raft.hears_of_removal(Removal(1, term, index), (OLD, MINE), theirs) == "") is believed
    assert (raft.believed_removal is not None) is believed
    for _ in range(3 * raft.config.election_ticks):
        raft.tick()
    assert (raft.role == "follower") is believed, "who was removed asks for no votes"


def test_a_removal_without_a_decision_or_of_somebody_else_is_not_believed() -> None:
    raft = survivor(4).raft
    assert raft.hears_of_removal(None, (), ()) == "it names no decision"
    assert raft.hears_of_removal(Removal(2, FAR, FAR), (), ()) == "it names no decision"


def test_who_hears_a_leader_is_a_member_unless_a_later_history_gave_it_up() -> None:
    raft = survivor(4).raft
    raft.step(2, Heartbeat(4, 0, 0))
    assert "a leader is heard" in raft.hears_of_removal(Removal(1, 4, 5), (OLD, MINE), (OLD, MINE))
    assert raft.hears_of_removal(Removal(1, 5, 5), (OLD, MINE), (OLD, MINE)) == ""
    raft.step(2, Heartbeat(4, 0, 0))
    assert raft.believed_removal is None, "a leader writes to it, so it was no removal"
    assert raft.hears_of_removal(Removal(1, 5, 5), (OLD, MINE), (OLD, MINE, LATER)) == ""
    raft.step(2, Heartbeat(4, 0, 0))
    assert raft.believed_removal is not None
