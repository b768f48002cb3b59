"""A batch is in a leader's log once, however often it is sent."""

from __future__ import annotations

import pytest
from counter_node.counters import batches
from counter_node.counters.ops import is_write
from counter_node.raft.leadership import Leadership
from counter_node.raft.messages import Append, AppendResponse, VoteResponse
from counter_node.raft.state import Config
from counter_node.raft.types import Entry, EntryKind, HardState, Snapshot, SnapshotMeta
from counter_node.replica.founding import first_snapshot
from counter_node.replica.gateway import Gateway
from counter_node.replica.log_time import Clocks
from counter_node.replica.peer_messages import Forward
from counter_node.replica.replica import Replica
from hypothesis import given
from hypothesis import strategies as st

from tests.support.unit.lone_replica import Alone
from tests.support.unit.raft_network import membership

SMALL = st.integers(0, 2**64 - 1)


@given(SMALL, SMALL)
def test_the_identity_of_a_body_is_what_was_encoded(session: int, number: int) -> None:
    assert batches.identity_of(batches.encode_batch(session, number, [b"k"])) == (session, number)
    assert batches.identity_of(memoryview(batches.encode_batch(session, number, []))) == (
        session,
        number,
    )
    assert batches.identity_of(batches.encode_open(number)) == (0, number)


@given(st.binary(max_size=40))
def test_the_identity_of_anything_else_is_none_or_harmless(body: bytes) -> None:
    batches.identity_of(body)


def test_bodies_without_a_gateway_have_no_identity() -> None:
    for body in (
        batches.encode_tick(),
        batches.encode(batches.Level(3)),
        batches.encode(batches.Limits(1, 2)),
        b"",
    ):
        assert batches.identity_of(body) is None


def leader() -> Alone:
    """Of three, so that nothing is committed without the others."""
    node = Alone(voters=3)
    node.lead()
    return node


def batch(number: int, session: int = 5) -> Forward:
    return Forward(batches.encode_batch(session, number, [b"k"]))


def test_a_batch_that_is_sent_again_and_again_is_appended_once() -> None:
    node = leader()
    before = node.replica.raft.log.last_index
    for _ in range(20):
        node.replica.receive(2, batch(1))
        node.replica.receive(3, batch(1, session=6))
        node.turn()
    assert node.replica.raft.log.last_index == before + 2
    node.replica.receive(2, batch(2))
    assert node.replica.raft.log.last_index == before + 3


def test_a_batch_that_was_executed_is_not_appended_again() -> None:
    node = leader()
    node.replica.receive(2, Forward(batches.encode_open(77)))
    node.turn()
    session = node.replica.raft.log.last_index
    node.replica.receive(2, batch(1, session))
    node.turn()
    node.replica.receive(2, AppendResponse(2, True, node.replica.raft.log.last_index))
    node.turn()
    assert node.replica.machine.last_number(session) == 1
    before = node.replica.raft.log.last_index
    node.replica.receive(2, batch(1, session))
    assert node.replica.raft.log.last_index == before


def test_a_registration_that_is_on_its_way_is_not_appended_again_and_one_that_was_executed_is() -> (
    None
):
    """Its node may have got a snapshot that holds the first one: then it learns its session from a
    second one only."""
    node = leader()
    for _ in range(3):
        node.replica.receive(2, Forward(batches.encode_open(77)))
    index = node.replica.raft.log.last_index
    node.turn()
    node.replica.receive(2, AppendResponse(2, True, index))
    node.turn()
    assert node.replica.applied == index
    node.replica.receive(2, Forward(batches.encode_open(77)))
    assert node.replica.raft.log.last_index == index + 1


def test_a_new_leader_knows_what_stands_in_the_log_that_it_has_not_applied() -> None:
    gateway = Gateway(1, is_write=is_write, tick_ms=10, patience_ticks=100, retry_ticks=10)
    start = Snapshot(
        SnapshotMeta(1, 1, membership(3)), first_snapshot(membership(3).members[0]).state
    )
    node = Replica(
        Config(1),
        HardState(1, 0, 1),
        start,
        [],
        gateway=gateway,
        clocks=Clocks(lambda: 0),
        randint=lambda low, high: low,
    )
    data = batches.stamp(0, batch(7).body)
    node.receive(
        2, Append(1, 1, 1, 1, [Entry(2, 1, EntryKind.DATA, data), Entry(3, 1, EntryKind.NOOP, b"")])
    )
    for _ in range(3):
        if (job := node.turn().job) is not None:
            node.persisted(job)
    node.raft.campaign()
    for answer in (VoteResponse(2, True, True), VoteResponse(2, False, True)):
        node.receive(3, answer)
        for _ in range(3):
            if (job := node.turn().job) is not None:
                node.persisted(job)
    assert node.is_leader
    node.receive(3, AppendResponse(2, True, 1))
    before = node.raft.log.last_index
    node.receive(2, batch(7))
    assert node.raft.log.last_index == before
    node.receive(2, batch(8))
    assert node.raft.log.last_index == before + 1


def test_who_sent_a_batch_again_is_answered_as_soon_as_it_is_committed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = leader()
    node.replica.receive(2, batch(1))
    index = node.replica.raft.log.last_index
    waits: list[tuple[int, int]] = []
    monkeypatch.setattr(Leadership, "wanted", lambda self, origin, at: waits.append((origin, at)))
    node.replica.receive(3, batch(1))
    assert waits == [(3, index)]
