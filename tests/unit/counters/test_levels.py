"""What may be in the replicated log in the middle of a rolling upgrade. With real nodes:
tests/integration/test_levels.py."""

from __future__ import annotations

import msgspec
import pytest
from counter_node.counters import batches, levels
from counter_node.counters import ops as o
from counter_node.counters.batches import Level, Limits
from counter_node.counters.effects import EXECUTE
from counter_node.counters.machine import Machine, SnapshotFormatError, UnknownOperationError
from counter_node.counters.replies import Failure
from counter_node.counters.state import State
from counter_node.raft.state import Config
from counter_node.raft.types import HardState, Member, Snapshot
from counter_node.replica.founding import first_snapshot
from counter_node.replica.gateway import Gateway
from counter_node.replica.governor import Wanted
from counter_node.replica.log_time import Clocks, Note
from counter_node.replica.replica import Replica

from tests.support.unit.lone_replica import Alone
from tests.support.unit.machine_log import Log

NEW = max(*EXECUTE, *levels.OPCODES) + 1
NEXT = levels.LEVEL + 1


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version of the future, with one operation more: it sets a counter to 42."""

    def answer(state: State, op: batches.Op) -> int:
        state.put(op[1], 42)
        return 42

    monkeypatch.setitem(EXECUTE, NEW, answer)
    monkeypatch.setitem(levels.OPCODES, NEW, NEXT)


def old_cluster(knows: int) -> Snapshot:
    return first_snapshot(
        Member(1, "n1", "n1:1", "n1:2", True),
        Machine(knows=min(knows, levels.LEVEL), history="c" * 16),
    )


def replica(knows: int, start: Snapshot, limits: Limits | None = None) -> Alone:
    node = Alone()
    gateway = Gateway(99, is_write=o.is_write, tick_ms=100, patience_ticks=35, retry_ticks=5)
    node.replica = Replica(
        Config(1, keep_entries=0),
        HardState(1, 0, 1),
        start,
        [],
        gateway=gateway,
        clocks=Clocks(lambda: node.now_ms),
        note=Note(1, 0),
        randint=lambda low, high: low,
        knows=knows,
        wanted=Wanted(limits),
    )
    node.lead()
    return node


def answers(node: Alone, *ops: batches.Op) -> list[object]:
    node.replica.submit_write("token", list(ops))
    for _ in range(5):
        turn = node.replica.turn()
        if turn.job is not None:
            node.replica.persisted(turn.job)
        for token, replies in turn.replies:
            if token == "token":
                return replies
    raise AssertionError("no answer")


def test_every_operation_belongs_to_a_level() -> None:
    codes = {*EXECUTE, o.MULTI, o.IDMP, o.EXEC_IF, o.IDMP_OF, o.AS, o.WITHIN}
    codes |= {o.EVAL, o.SCRIPT_LOAD, o.SCRIPT_FLUSH, o.SCRIPT_EXISTS}
    assert {code for code in codes if code > o.LAST_OF_LEVEL_1} == set(levels.OPCODES)
    assert all(1 < level <= levels.LEVEL for level in levels.OPCODES.values())


@pytest.mark.usefixtures("newer")
def test_the_level_of_what_holds_other_operations_is_theirs() -> None:
    new = [NEW, b"k"]
    assert (
        levels.level_of(b"k")
        == levels.level_of([o.GET, b"k"])
        == levels.level_of([o.MULTI, [b"k"]])
        == 1
    )
    for op in (
        new,
        [o.MULTI, [b"k", new]],
        o.idmp(b"p", 1, new),
        o.idmp(b"p", 1, [o.MULTI, [new]]),
        [o.EXEC_IF, b"w", [new]],
    ):
        assert levels.level_of(op) == NEXT


@pytest.mark.usefixtures("newer")
def test_a_new_command_is_refused_until_every_member_knows_it_and_is_not_in_the_log() -> None:
    node = replica(NEXT, old_cluster(NEXT))
    assert node.replica.machine.level == levels.LEVEL
    for op in ([NEW, b"k"], [o.MULTI, [[NEW, b"k"]]], o.idmp(b"p", 1, [NEW, b"k"])):
        before = node.replica.raft.log.last_index
        (refused,) = answers(node, op)
        assert isinstance(refused, Failure)
        assert refused.startswith(b"ERR not before every node of the cluster is upgraded")
        assert node.replica.raft.log.last_index == before
    assert answers(node, b"k") == [1]
    node.replica.govern({})
    node.turn()
    assert node.replica.machine.level == NEXT
    assert answers(node, [NEW, b"k"]) == [42]


@pytest.mark.parametrize("knows", [levels.SCRIPTS_LEVEL - 1, levels.LEVEL])
def test_scripts_are_refused_below_their_level_and_are_not_in_the_log(knows: int) -> None:
    """Also by a node that behaves as an older version (COUNTER_LEVEL)."""
    node = replica(knows, old_cluster(levels.SCRIPTS_LEVEL - 1))
    script = [o.EVAL, 0, b"return 1", [], [], None]
    for op in (script, o.idmp_of(b"u", b"p", 1, script), [o.SCRIPT_LOAD, b"return 1"]):
        before = node.replica.raft.log.last_index
        (refused,) = answers(node, op)
        assert isinstance(refused, Failure)
        assert refused.startswith(b"ERR not before every node of the cluster is upgraded")
        assert node.replica.raft.log.last_index == before
    assert answers(node, b"k") == [1]


def test_the_level_waits_for_the_last_member() -> None:
    node = Alone(voters=3)
    node.lead()
    node.replica.governor.knows, node.replica.machine.knows = NEXT, NEXT
    before = node.replica.raft.log.last_index
    for known in ({}, {2: NEXT}, {2: NEXT, 3: levels.LEVEL}, {2: NEXT, 7: NEXT}):
        node.replica.govern(known)
        assert node.replica.raft.log.last_index == before
    node.replica.govern({2: NEXT, 3: NEXT + 1})
    node.replica.govern({2: NEXT, 3: NEXT + 1})
    (entry,) = node.replica.raft.log.entries[before - node.replica.raft.log.offset :]
    assert batches.decode(entry.data[batches.TIME_BYTES :]) == Level(NEXT)


def test_a_node_that_is_too_old_stops_at_the_level_and_at_its_snapshot() -> None:
    old = Log(Machine(knows=1))
    with pytest.raises(
        UnknownOperationError,
        match="the cluster is at level 2 and this version knows 1; upgrade this node",
    ):
        old.append(batches.encode(Level(2)))
    with pytest.raises(SnapshotFormatError, match="at level 2; this version knows 1"):
        Machine.restore(Machine(knows=2).snapshot(), knows=1)


def test_a_level_never_sinks_and_is_in_the_snapshot() -> None:
    log = Log(Machine.restore(Machine(knows=1).snapshot()))
    assert log.machine.level == 1
    for level in (2, 1):
        log.append(batches.encode(Level(level)))
        assert log.machine.level == 2
    assert Machine.restore(log.machine.snapshot()).level == 2


def test_an_operation_above_the_level_of_the_cluster_is_a_broken_invariant() -> None:
    log = Log(Machine.restore(Machine(knows=1).snapshot()))
    with pytest.raises(
        AssertionError, match="the entry of limits is of level 2, and the cluster at 1"
    ):
        log.append(batches.encode(Limits(5, 5)))


def test_an_entry_of_a_kind_that_is_not_known_says_what_to_upgrade() -> None:
    class Future(msgspec.Struct, array_like=True, tag=99):
        x: int

    with pytest.raises(UnknownOperationError, match="upgrade this node"):
        Log().append(batches.encode(Future(1)))


def test_a_snapshot_from_before_levels_is_of_level_one() -> None:
    fields = msgspec.msgpack.decode(Machine(knows=1).snapshot())
    assert Machine.restore(msgspec.msgpack.encode(fields[:8])).level == 1


def test_the_leaders_limits_come_into_force_through_the_log() -> None:
    node = replica(levels.LEVEL, old_cluster(1), Limits(3, 2))
    assert node.replica.machine.limits != Limits(3, 2)
    for _ in range(3):  # the level first, then a history
        node.replica.govern({})
        node.turn()
    assert node.replica.machine.limits == Limits(3, 2)
    end = node.replica.raft.log.last_index
    node.replica.govern({})
    assert node.replica.raft.log.last_index == end, "once"
    assert Machine.restore(node.replica.machine.snapshot()).limits == Limits(3, 2)
    replies = answers(node, *(o.idmp(b"p%d" % n, 1, b"k") for n in range(3)))
    assert replies[:2] == [1, 2]
    assert isinstance(replies[2], Failure)
    assert replies[2].startswith(b"OOM too many producers; at most 2 (max_producers)")


def test_a_cluster_of_an_older_version_gets_a_history_once_it_has_the_level() -> None:
    node = replica(levels.LEVEL, old_cluster(3))
    assert node.replica.machine.lineage == ()
    for _ in range(3):
        node.replica.govern({})
        node.turn()
    (history,) = node.replica.machine.lineage
    assert (len(history.id), history.reason) == (16, "upgrade")
    before = node.replica.raft.log.last_index
    node.replica.govern({})
    assert node.replica.raft.log.last_index == before, "once"
    restored = Machine.restore(node.replica.machine.snapshot())
    assert restored.lineage == (history,)


def test_a_second_leaders_history_comes_too_late() -> None:
    log = Log(Machine(history="a" * 16))
    log.append(batches.encode(batches.Begin("b" * 16)))
    assert [history.id for history in log.machine.lineage] == ["a" * 16]


def test_a_snapshot_without_histories_is_read() -> None:
    fields = msgspec.msgpack.decode(Machine(knows=3).snapshot())
    assert Machine.restore(msgspec.msgpack.encode(fields[:10])).lineage == ()
    assert Machine(knows=3, history="a" * 16).lineage == ()
