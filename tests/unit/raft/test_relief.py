"""The way out of a full disk: what makes the state smaller is let through, in a room of its own."""

from __future__ import annotations

import pytest
from counter_node.counters import batches, ops
from counter_node.counters.batches import Outcome, OutcomeKind
from counter_node.counters.replies import Failure
from counter_node.raft.messages import (
    Append,
    Heartbeat,
)
from counter_node.raft.types import Entry, EntryKind
from counter_node.replica.peer_messages import Forward
from counter_node.replica.refusals import NOT_EVEN_DELETIONS
from counter_node.replica.relief import Relief, relief_of, shrinks

from tests.support.unit.full_disk import replica
from tests.support.unit.lone_replica import Alone

NOW = (1_000, 2_000)


@pytest.mark.parametrize(
    ("op", "smaller"),
    [
        ([ops.DEL, [b"k"]], True),
        ([ops.FLUSH], True),
        ([ops.GETDEL, b"k"], True),
        ([ops.SCRIPT_FLUSH], True),
        ([ops.SCRIPT_LOAD, b"return 1"], False),
        ([ops.EVAL, 0, b"redis.call('del', 'k')", [], [], None], False),
        ([ops.EXPIRE, b"k", ops.EX_IN, 0, ops.ALWAYS], True),
        ([ops.EXPIRE, b"k", ops.EX_IN, -5, ops.ALWAYS], True),
        ([ops.EXPIRE, b"k", ops.EX_IN, 1, ops.ALWAYS], False),
        ([ops.EXPIRE, b"k", ops.EX_AT, 2_000, ops.ALWAYS], True),
        ([ops.EXPIRE, b"k", ops.EX_AT, 2_001, ops.ALWAYS], False),
        ([ops.MULTI, [[ops.DEL, [b"k"]], [ops.GET, b"k"]]], True),
        ([ops.MULTI, [[ops.DEL, [b"k"]], b"k"]], False),
        ([ops.EXEC_IF, b"w", [[ops.DEL, [b"k"]]]], True),
        ([ops.IDMP, b"p", 1, [ops.DEL, [b"k"]]], True),
        ([ops.IDMP, b"p", 1, b"k"], False),
        ([ops.IDMP_OF, b"u", b"p", 1, [ops.DEL, [b"k"]]], True),
        ([ops.IDMP_OF, b"u", b"p", 1, b"k"], False),
        ([ops.MSET, [b"k", 1], False], False),
        (b"k", False),
    ],
)
def test_what_makes_the_state_smaller_is_known(op: ops.Op, smaller: bool) -> None:
    assert shrinks(op, *NOW) is smaller


@pytest.mark.parametrize(
    ("commands", "relief"),
    [
        ([[ops.FLUSH]], Relief.EMPTY),
        ([[ops.MULTI, [[ops.FLUSH], [ops.GET, b"k"]]]], Relief.EMPTY),
        ([[ops.IDMP, b"p", 1, [ops.FLUSH]]], Relief.EMPTY),
        ([[ops.IDMP, b"p" * 2_000, 1, [ops.FLUSH]]], Relief.SMALLER),
        ([[ops.FLUSH], [ops.DEL, [b"k"]]], Relief.SMALLER),
        ([[ops.MULTI, [[ops.FLUSH], [ops.DEL, [b"k"]]]]], Relief.SMALLER),
        ([[ops.MULTI, [[ops.FLUSH], b"k"]]], Relief.NONE),
        ([[ops.FLUSH], b"k"], Relief.NONE),
    ],
)
def test_what_an_entry_does_for_a_full_disk_is_known(
    commands: list[ops.Op], relief: Relief
) -> None:
    assert relief_of(batches.encode_batch(5, 1, commands), *NOW) is relief


def test_the_registration_of_a_gateway_finds_the_last_room_and_ticks_do_not() -> None:
    assert relief_of(batches.encode_open(7), *NOW) is Relief.EMPTY
    assert relief_of(batches.encode_tick(), *NOW) is Relief.SMALLER


def _deleting(voters: int, relief: int) -> Alone:
    """A leader whose disk is full; it deletes one by one until it is refused. Nothing makes room:
    the state is large, and no snapshot finds any."""
    node = Alone(voters)
    node.lead()
    node.write([ops.MULTI, [b"%03d" % n + b"x" * 100 for n in range(100)]])
    node.turn()
    node.replica.room_left(0, relief)
    return node


def test_deletions_one_by_one_leave_room_for_a_flush() -> None:
    """They used up all room there was; then every command was unknown, and after that refused for
    want of a leader, for ever."""
    node = _deleting(1, 4_000)
    replies: list[object] = []
    names = [b"%03d" % n + b"x" * 100 for n in range(100)] + [b"none"] * 100
    for n, name in enumerate(names):
        node.replica.submit_write(n, [[ops.DEL, [name]]])
        for _ in range(3):
            turn = node.replica.turn()
            replies += [reply for _, each in turn.replies for reply in each]
            if turn.job is not None:
                node.replica.persisted(turn.job)
    assert replies[0] == 1
    assert isinstance(replies[-1], Failure)
    assert replies[-1] == NOT_EVEN_DELETIONS
    assert len(replies) == 200, "each is answered at once"
    left = len(node.replica.machine.values)
    assert left == sum(isinstance(reply, Failure) for reply in replies[:100])
    # beside a deletion that does not fit, and behind it on the same connection
    node.replica.submit_write("deletes", [[ops.DEL, [b"099" + b"x" * 100]]])
    node.replica.submit_write("both", [[ops.DEL, [b"098" + b"x" * 100]], [ops.FLUSH]])
    node.replica.submit_write("empties", [[ops.FLUSH]])
    found: dict[object, list[object]] = {}
    for _ in range(4):
        turn = node.replica.turn()
        found.update(turn.replies)
        if turn.job is not None:
            node.replica.persisted(turn.job)
    assert found["deletes"] == [NOT_EVEN_DELETIONS]
    assert found["both"] == [NOT_EVEN_DELETIONS, "OK"], "each in its place"
    assert found["empties"] == ["OK"]
    assert not node.replica.machine.values
    assert node.replica.room.of(Relief.EMPTY) > 0, "no more than there was"


def test_a_flush_that_finds_no_room_is_refused_too_and_blocks_nobody() -> None:
    node = _deleting(1, 10)
    for _ in range(3):
        node.replica.submit_write("w", [[ops.FLUSH]])
        turns = [node.replica.turn() for _ in range(3)]
        replies = [reply for turn in turns for _, each in turn.replies for reply in each]
        assert len(replies) == 1
        assert isinstance(replies[0], Failure)
        assert replies[0].startswith(b"MISCONF")
    node.replica.room_left(None)
    node.write([ops.FLUSH])
    assert not node.replica.machine.values


def test_a_follower_sends_nothing_that_its_own_disk_cannot_take_unless_it_was_sent_before() -> None:
    node = replica()
    node.gateway.applied(Outcome(OutcomeKind.SESSION_OPENED, 5, 0, 1))
    node.receive(1, Heartbeat(1, 1, 7))
    node.room_left(0, 10)
    node.submit_write("w", [[ops.DEL, [b"k"]]])
    turn = node.turn()
    assert [bytes(reply).split()[0] for _, each in turn.replies for reply in each] == [b"MISCONF"]
    node.room_left(0, 1_000)
    node.submit_write("w", [[ops.DEL, [b"k"]]])
    assert any(isinstance(m, Forward) for _, m in node.turn().messages)
    node.room_left(0, 10)
    node.link_up(1)
    turn = node.turn()
    assert any(isinstance(m, Forward) for _, m in turn.messages), "it may be in the log already"
    assert not turn.replies


def test_on_a_full_disk_deletions_go_on_and_the_rest_is_refused_in_its_place() -> None:
    node = replica()
    node.submit_write("w", [b"k", [ops.DEL, [b"k"]], [ops.GET, b"k"]])
    assert node.gateway.writes.ops[1:] == [[ops.DEL, [b"k"]], [ops.GET, b"k"]]
    assert node.gateway.writes.ops[0][0] == ops.CONSTANT
    node.submit_write("r", [b"k"])
    assert [token for token, _ in node.turn().replies] == ["r"]


def test_on_a_full_disk_too_nothing_goes_into_the_log_that_older_members_do_not_know() -> None:
    node = replica()
    node.machine.level = 3
    node.submit_write("w", [ops.idmp_of(b"u", b"p", 1, [ops.DEL, [b"k"]])])
    assert node.gateway.writes.ops == [ops.idmp(b"p", 1, [ops.DEL, [b"k"]])]


def test_a_leader_with_a_full_disk_marks_a_full_stop_as_nothing_is_deleted_before() -> None:
    node = Alone()
    node.lead()
    node.replica.room_left(0, 1_000)
    last = node.replica.raft.log.last_index
    assert node.replica.time_entries.propose(batches.Calendar(5)) is None
    assert (
        node.replica.time_entries.propose(batches.Jump(node.replica.machine.time_ms, gap=True))
        == last + 1
    )


def test_entries_that_make_the_state_smaller_have_room_of_their_own() -> None:
    node = replica()
    node.room_left(0, 300)

    def entry(index: int, *commands: ops.Op) -> Append:
        return Append(
            1,
            index - 1,
            1,
            0,
            [
                Entry(
                    index,
                    1,
                    EntryKind.DATA,
                    batches.stamp(0, batches.encode_batch(5, index, list(commands))),
                )
            ],
        )

    node.receive(1, entry(2, b"k"))
    assert node.raft.log.last_index == 1
    node.receive(1, entry(2, [ops.DEL, [b"k"]]))
    assert node.raft.log.last_index == 2
    node.receive(1, entry(3, [ops.DEL, [b"x" * 400]]))
    assert node.raft.log.last_index == 2, "not more than there is"
    node.room_left(-250, 300)
    node.receive(1, entry(3, [ops.DEL, [b"k"]]))
    assert node.raft.log.last_index == 2, "what was used of it before counts"


def test_counters_that_expire_leave_the_room_for_deletions() -> None:
    """Log time went into the log each second, and after some hours nothing could be deleted any
    more."""
    node = Alone()
    node.lead()
    expiring = [
        [ops.SET, b"%d" % n, 1, ops.ALWAYS, None, ops.EX_IN, 30_000 * n, False]
        for n in range(1, 900)
    ]
    node.write(
        [ops.MULTI, [*expiring, [ops.SET, b"stays", 1, ops.ALWAYS, None, ops.EX_NONE, 0, False]]]
    )
    node.turn()
    node.replica.room_left(0, 10_000)
    before = node.replica.raft.log.last_index
    node.tick(60, ms=2_000)
    assert len(node.replica.machine.deadlines) == 899 - 4, "what is due goes, within a minute"
    assert node.replica.raft.log.last_index - before == 2
    node.replica.submit_read("late", [[ops.GET, b"5"]])
    node.turn()
    assert node.replica.raft.log.last_index - before == 2, "a read has no time of its own either"
    node.tick(6 * 3_600 // 20, ms=20_000)
    assert node.replica.raft.log.last_index - before < 80
    node.replica.submit_write("delete", [[ops.DEL, [b"stays"]]])
    node.tick(5)  # the gateway was idle for so long that it registers again
    assert b"stays" not in node.replica.machine.values
    node.replica.room_left(None)
    node.tick(3)
    assert len(node.replica.machine.deadlines) < 899 - 700, "with room all that is due goes at once"


def test_many_that_are_due_at_once_are_removed_on_a_full_disk_as_ever() -> None:
    node = Alone()
    node.lead()
    for start in range(0, 5_000, 1_000):
        node.write(
            [
                ops.MULTI,
                [
                    [ops.SET, b"%d" % n, 1, ops.ALWAYS, None, ops.EX_IN, 1_000, False]
                    for n in range(start, start + 1_000)
                ],
            ]
        )
    node.turn()
    node.replica.room_left(0, 10_000)
    node.tick(1, ms=70_000)
    node.tick(5)
    assert not node.replica.machine.values
