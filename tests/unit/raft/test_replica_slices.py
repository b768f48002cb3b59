"""A replica does nothing heavy in one turn, and nobody sees what is done in part."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from counter_node.counters import batches, levels
from counter_node.counters import ops as o
from counter_node.counters.machine import Machine
from counter_node.counters.state import SLICE
from counter_node.raft.messages import Heartbeat, HeartbeatResponse, InstallSnapshot
from counter_node.raft.types import SnapshotMeta
from counter_node.replica.replica import Turn
from counter_node.views.status import unready_reason

from tests.support.unit.lone_replica import EPOCH_MS, Alone
from tests.support.unit.raft_network import membership

MANY = [b"%d" % n for n in range(30_000)]


def leader(*counters: Any) -> Alone:
    node = Alone()
    node.lead()
    for op in counters:
        node.write(op)
    return node


def turns(node: Alone, most: int = 2_000) -> list[tuple[Any, list[Any]]]:
    """Until nothing is to be done; the answers."""
    replies = []
    for _ in range(most):
        settled = node.replica.turn_would_do_nothing
        found = node.replica.turn()
        assert not settled or found == Turn([], None, [], False), (
            "the driver leaves out the turn of who is settled"
        )
        replies += found.replies
        if found.job is not None:
            node.replica.persisted(found.job)
        elif not node.replica.applying.unfinished and node.replica.gateway.nobody_waits:
            return replies
    raise AssertionError("never settled")


def test_a_heavy_command_takes_many_turns_and_is_seen_whole_or_not_at_all() -> None:
    node = leader()
    node.replica.submit_write("fill", [[o.MSET, [x for name in MANY for x in (name, 1)], False]])
    node.replica.submit_read("read", [[o.MGET, [MANY[0], MANY[-1]]]])
    seen: list[Any] = []
    applied: list[int] = []
    for _ in range(300):
        found = node.replica.turn()
        seen += found.replies
        applied.append(len(node.replica.machine.values))
        if found.job is not None:
            node.replica.persisted(found.job)
        assert node.replica.applying.unfinished or node.replica.applying.whole
    assert len({count for count in applied if 0 < count < len(MANY)}) > 3, "it went in slices"
    replies = dict(seen)
    assert replies["fill"] == ["OK"]
    assert replies["read"][0] in ([None, None], [b"1", b"1"])


def test_no_snapshot_begins_in_the_middle_of_an_entry() -> None:
    node = leader()
    node.replica.submit_write("fill", [[o.MSET, [x for name in MANY for x in (name, 1)], False]])
    while node.replica.applying.whole:
        found = node.replica.turn()
        if found.job is not None:
            node.replica.persisted(found.job)
    with pytest.raises(AssertionError, match="not in the middle of an entry"):
        node.replica.begin_snapshot()
    assert turns(node)


def test_many_reads_of_one_group_are_answered_in_many_turns() -> None:
    node = leader(*MANY[:10])
    node.replica.submit_read("reads", [[o.MGET, MANY[:1_000]] for _ in range(30)])
    count = 0
    while True:
        count += 1
        if found := node.replica.turn().replies:
            break
    assert count > 4
    assert [len(reply) for reply in found[0][1]] == [1_000] * 30


def test_keys_does_not_hold_up_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("counter_node.counters.listing.PAGE", 100)
    node = leader()
    for start in range(0, len(MANY), 10_000):
        node.write([o.MSET, [x for name in MANY[start : start + 10_000] for x in (name, 1)], False])
    turns(node)
    node.replica.submit_read("keys", [[o.KEYS, b"*"]])
    order = []
    for number in range(200):
        if number == 2:
            node.replica.submit_write("write", [b"new"])
        found = node.replica.turn()
        order += [token for token, _ in found.replies if token]
        if found.job is not None:
            node.replica.persisted(found.job)
    assert order == ["write", "keys"]


def storm() -> Alone:
    node = leader()
    due = EPOCH_MS + 1_000
    for start in range(0, 5 * SLICE, SLICE):
        node.write(
            [
                o.MULTI,
                [
                    [o.SET, b"%d" % n, 1, o.ALWAYS, None, o.EX_AT, due, False]
                    for n in range(start, start + SLICE)
                ],
            ]
        )
    turns(node)
    assert len(node.replica.machine.values) == 5 * SLICE
    return node


def test_what_is_due_is_cleared_away_by_entries_of_the_leader_one_at_a_time() -> None:
    node = storm()
    node.now_ms += 1_000
    before = node.replica.raft.log.last_index
    node.replica.tick()
    turns(node)
    assert node.replica.machine.values == {}
    assert 5 <= node.replica.raft.log.last_index - before <= 6
    node.tick(20)
    assert node.replica.raft.log.last_index - before <= 6, "then there is nothing to do"


def test_a_driver_does_not_leave_out_the_turn_that_has_to_clear_away() -> None:
    node = storm()
    node.now_ms += 1_000
    node.replica.tick()
    node.replica.room_left(0)
    node.turn()
    assert node.replica.machine.backlog
    node.replica.room_left(None)
    assert not node.replica.turn_would_do_nothing
    turns(node)
    assert node.replica.machine.values == {}


def test_a_read_finds_nothing_of_what_is_due_and_waits_for_one_entry_only() -> None:
    node = storm()
    node.now_ms += 1_000
    node.replica.submit_read("read", [[o.GET, b"0"], [o.DBSIZE]])
    for _ in range(6):
        found = node.replica.turn()
        if found.job is not None:
            node.replica.persisted(found.job)
        if found.replies:
            break
    assert found.replies == [("read", [None, 0])]
    assert node.replica.machine.backlog


def test_a_received_snapshot_is_put_in_force_in_slices_while_peers_are_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("counter_node.counters.restore.PIECE", 100)
    machine = Machine()
    for name in MANY[:5_000]:
        machine._state.put(name, 7)
    node = Alone(voters=3)
    node.replica.machine._state.put(b"old", 1)
    meta = SnapshotMeta(50, 3, membership(3))
    state = machine.snapshot()
    node.replica.receive(2, InstallSnapshot(3, meta, 0, state, True))
    heard = slices = 0
    for number in range(200):
        node.replica.receive(2, Heartbeat(3, 1, number))
        found = node.replica.turn()
        heard += sum(isinstance(message, HeartbeatResponse) for _, message in found.messages)
        if found.job is not None:
            node.replica.persisted(found.job)
        assert node.replica.applying.restoring == (
            node.replica.applied == 50 and b"0" not in node.replica.machine.values
        )
        if not node.replica.applying.whole:
            slices += 1
            assert node.replica.applying.unfinished
            asked = SimpleNamespace(replica=node.replica, failed="", stopping=False, removed=False)
            assert unready_reason(cast(Any, asked)) == "puts the snapshot of entry 50 in force"
            with pytest.raises(AssertionError):
                assert node.replica.machine.read([[o.GET, b"old"]]) == [b"1"], (
                    "the old state is given up"
                )
        elif b"0" in node.replica.machine.values:
            break
    assert slices > 20
    assert heard >= slices
    assert node.replica.machine.snapshot() == state


def test_a_newer_snapshot_takes_the_place_of_one_that_is_half_in_force(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("counter_node.counters.restore.PIECE", 100)
    node = Alone(voters=3)
    for index, value in ((50, 7), (60, 8)):
        machine = Machine()
        for name in MANY[:2_000]:
            machine._state.put(name, value)
        node.replica.receive(
            2,
            InstallSnapshot(3, SnapshotMeta(index, 3, membership(3)), 0, machine.snapshot(), True),
        )
        for _ in range(8):
            found = node.replica.turn()
            if found.job is not None:
                node.replica.persisted(found.job)
    turns(node)
    assert set(node.replica.machine.values.values()) == {8}
    assert node.replica.applied == 60


def test_the_leader_puts_its_limit_of_bytes_in_force() -> None:
    node = leader()
    node.replica.governor.wanted.max_bytes = 12_345
    node.replica.govern({})
    turns(node)
    assert node.replica.machine.max_bytes == 12_345
    before = node.replica.raft.log.last_index
    node.replica.govern({})
    turns(node)
    assert node.replica.raft.log.last_index == before


def test_below_the_level_producers_belong_to_nobody_and_the_limit_waits() -> None:
    node = Alone()
    old = levels.OWNERS_LEVEL - 1
    node.replica.applying.machine = Machine(knows=old)
    node.replica.governor.wanted.max_bytes = 5
    node.lead()
    node.replica.submit_write("idmp", [o.idmp_of(b"u", b"p", 1, b"k")])
    replies = turns(node)
    assert replies == [("idmp", [1])]
    last = node.replica.raft.log.entries[-1]
    assert batches.ops_of(last.data[batches.TIME_BYTES :]) == [o.idmp(b"p", 1, b"k")]
    node.replica.governor.knows = old
    node.replica.govern({})
    turns(node)
    assert node.replica.machine.max_bytes == 0
