"""What a replica notes of log time, and when a leader judges it (replica.py)."""

from __future__ import annotations

from counter_node.counters import batches
from counter_node.raft.messages import Append, AppendResponse, VoteResponse
from counter_node.raft.types import Entry, EntryKind

from tests.support.unit.full_disk import follower
from tests.support.unit.lone_replica import Alone


def stamped(index: int, term: int, time_ms: int) -> Entry:
    return Entry(index, term, EntryKind.DATA, batches.stamp(time_ms, batches.encode_tick()))


def test_what_an_earlier_leader_stamped_is_no_note_and_ends_the_one_from_before() -> None:
    """Nobody knows how old that stamp is: seed 530425962 of the simulator was 5.8 s early by it."""
    node = follower()
    node.receive(1, Append(1, 1, 1, 0, [stamped(2, 1, 5_000)]))
    assert node.time.note is not None
    assert node.time.note.elapsed_ms == 5_000
    node.receive(2, Append(2, 2, 1, 0, [stamped(3, 1, 6_000)]))
    assert node.time.note is None
    node.receive(2, Append(2, 3, 1, 0, [stamped(4, 1, 7_000), stamped(5, 2, 8_000)]))
    assert node.time.note is not None
    assert node.time.note.elapsed_ms == 8_000


def test_a_leader_decides_about_time_when_all_of_earlier_terms_is_applied() -> None:
    """A calendar may be among it, which moves each clock's answer: seed 820121 jumped 1.4 s early
    by the one before."""
    alone = Alone(voters=3)
    node = alone.replica
    node.raft.campaign()
    alone.turn()
    for pre_vote in (True, False):
        node.receive(2, VoteResponse(2, pre_vote, True))
        alone.turn()
    node.keeper.unmarked = True
    began = node.raft.log.last_index
    node.tick()
    assert node.is_leader
    assert node.raft.log.last_index == began
    node.receive(2, AppendResponse(2, True, began))
    alone.turn()
    node.tick()
    found = batches.decode(node.raft.log.entries[-1].data[batches.TIME_BYTES :])
    assert isinstance(found, batches.Jump)
    assert found.gap
