"""The state counts its bytes alike on every replica, and takes nothing new past the limit."""

from __future__ import annotations

import random
from typing import Any

import pytest
from counter_node.counters import batches, levels, weights
from counter_node.counters import ops as o
from counter_node.counters.batches import Bytes, Op, UserLimits
from counter_node.counters.machine import Machine, UnknownOperationError
from counter_node.counters.replies import Failure
from counter_node.memory import (
    LEAST,
    PROCESS,
    client_bytes,
    limit_bytes,
    log_bytes,
    needs,
    resident_bytes,
    state_bytes,
    survives,
)

from tests.support.unit.machine_log import Log, set_

COUNTER = weights.KEY + 1  # with a name of one byte


def counted(machine: Machine) -> int:
    names = weights.KEY * len(machine.values) + sum(map(len, machine.values))
    return names + weights.DEADLINE * len(machine.deadlines)


def limited(counters: int) -> Log:
    """With room for so many counters with names of one byte."""
    log = Log()
    log.append(batches.encode(Bytes(log.machine.size_bytes + counters * COUNTER)))
    return log


def refused(reply: Any) -> bool:
    return isinstance(reply, Failure) and reply.startswith(b"OOM the counters take ")


def test_the_bytes_follow_from_the_contents_whatever_happened_before() -> None:
    rng = random.Random(5)
    log = Log()
    names = [b"%d" % n * (1 + n % 5) for n in range(60)]
    session = log.machine.size_bytes
    for step in range(1_500):
        name = rng.choice(names)
        log.run(rng.choice([
            name, [o.DEL, rng.sample(names, 3)], set_(name, 1, o.EX_IN, rng.randrange(-1, 60)),
            [o.PERSIST, name], [o.EXPIRE, name, o.EX_IN, rng.randrange(-1, 60), o.ALWAYS], [o.MSET,
            [name, 1], False],
        ]))  # fmt: skip
        log.time_ms += rng.randrange(4)
        if step == 700:
            log.run([o.FLUSH])
        assert log.machine.size_bytes == session + counted(log.machine)
    copy = Machine.restore(log.machine.snapshot())
    assert copy.size_bytes == log.machine.size_bytes
    assert copy.snapshot_bytes() == log.machine.snapshot_bytes()
    log.run(o.idmp_of(b"u", b"p", 1, [o.MULTI, [b"k"]]), [o.WATCH, b"w", [b"k", b"kk"]])
    assert Machine.restore(log.machine.snapshot()).size_bytes == log.machine.size_bytes
    log.run([o.DEL, [b"k"]], [o.UNWATCH, b"w", b"\xc0"], [o.FLUSH])
    log.time_ms += 30 * 3_600_000
    log.session = log.append(batches.encode_open(1)).session
    assert log.machine.size_bytes == session


@pytest.mark.parametrize(
    "op",
    [
        b"n",
        [o.INCRBY, b"n", 2],
        set_(b"n", 1),
        set_(b"a", 1, o.EX_IN, 10),
        [o.INCREX, b"n", 1, 0, 9, False, o.EX_KEEP, 0, False],
        [o.MSET, [b"n", 1, b"a", 1], False],
        [o.MSET, [b"n", 1], True],
        [o.TIMES, b"n", 5],
        [o.EXPIRE, b"a", o.EX_IN, 10, o.ALWAYS],
        [o.GETEX, b"a", o.EX_IN, 10],
        o.idmp_of(b"u", b"p", 1, b"a"),
    ],
)
def test_past_the_limit_nothing_new_is_taken_and_nothing_is_changed(op: Op) -> None:
    log = limited(3)
    log.run(b"a", b"b", b"c")
    before = log.machine.checksum()
    replies = log.run(op)
    assert refused(replies[0]), replies
    assert b"(max_bytes, made from the memory limit)" in replies[0]
    assert b"Delete counters, or give the nodes more memory" in replies[0]
    log.run([o.GET, b"a"])
    assert log.machine.values == {b"a": 1, b"b": 1, b"c": 1}
    assert log.machine.deadlines == {}
    assert before != 0


def test_what_exists_goes_on_past_the_limit_and_what_is_deleted_makes_room() -> None:
    log = limited(3)
    log.run(b"a", b"b", b"c")
    assert log.run(
        b"a", set_(b"b", 7), [o.INCRBY, b"c", -4], [o.EXPIRE, b"a", o.EX_IN, -1, o.ALWAYS]
    ) == [2, "OK", -3, 1]
    assert log.run(b"d") == [1]
    assert refused(log.run(b"e")[0])
    assert log.run([o.DEL, [b"d"]], b"e") == [1, 1]
    assert log.run([o.FLUSH], b"a", b"b", b"c")[1:] == [1, 1, 1]


def test_what_is_due_makes_room() -> None:
    log = Log()
    log.run(*(set_(b"%04d" % n, 1, o.EX_AT, 5_000) for n in range(3_000)))
    log.append(batches.encode(Bytes(log.machine.size_bytes)))
    assert refused(log.run(b"new")[0])
    log.time_ms = 5_000
    assert log.run(*(b"n%04d" % n for n in range(5_000)))[-1] == 1


def test_a_known_producer_goes_on_past_the_limit() -> None:
    log = limited(2)
    log.run(b"a", b"b")
    log.append(batches.encode(Bytes(0)))
    log.run(o.idmp_of(b"u", b"p", 1, b"a"))
    log.append(batches.encode(Bytes(1)))
    assert log.run(o.idmp_of(b"u", b"p", 2, b"a"), o.idmp_of(b"u", b"q", 1, b"a"))[0] == 3


def test_the_limit_is_state_and_belongs_to_its_level() -> None:
    log = limited(3)
    assert Machine.restore(log.machine.snapshot()).max_bytes == log.machine.max_bytes > 0
    old = Log(Machine.restore(Machine(knows=levels.BYTES_LEVEL - 1).snapshot()))
    with pytest.raises(AssertionError, match="the entry of bytes is of level"):
        old.append(batches.encode(Bytes(1)))
    older = Log(Machine(knows=levels.BYTES_LEVEL - 1))
    with pytest.raises(UnknownOperationError, match="upgrade this node"):
        older.append(batches.encode(Bytes(1)))


def test_a_snapshot_is_never_larger_than_was_foreseen() -> None:
    log = Log()
    log.run(*(set_(b"%d" % n * 7, (1 << 62) + n, o.EX_AT, (1 << 60) + n) for n in range(3_000)))
    for n in range(1, 900):
        log.run(o.idmp_of(b"user", b"p", n, [o.MULTI, [b"1"]]), [o.WATCH, b"%d" % n, [b"%d" % n]])
    assert len(log.machine.snapshot()) <= log.machine.snapshot_bytes() + 1_000


@pytest.mark.parametrize("length", [8, 30, 200, 1_000])
@pytest.mark.parametrize("expiring", [False, True])
@pytest.mark.parametrize("owned", [False, True])
def test_the_state_and_its_snapshot_together_stay_within_what_is_set_apart(
    length: int, expiring: bool, owned: bool
) -> None:
    """Names of 200 bytes took 0.6 of the state's bytes in a snapshot, for which half was there."""
    most = 400_000
    log = Log()
    log.append(batches.encode(Bytes(most)))
    log.append(batches.encode(UserLimits(((b"app", 1_000_000, None),))))
    for n in range(3_000):
        name = b"%d" % n
        op = set_(name.ljust(length, b"x"), -(1 << 62), *((o.EX_AT, 1 << 60) if expiring else ()))
        if refused(log.run(o.as_user(b"app", op) if owned else op)[0]):
            break
    else:
        pytest.fail("nothing was refused")
    machine = log.machine
    state, dump = counted(machine), len(machine.snapshot())
    if owned:
        state += weights.OWNER * len(machine.values)
    one = weights.KEY + weights.OWNER + weights.DEADLINE + 4 * length + 3 * weights.DUMPED
    assert state + dump <= weights.with_dump(most) + one
    assert most - one < machine.size_bytes < most + one, "what it counts reaches the limit"


# --- of the process -------------------------------------------------------------------------------


def test_the_limit_of_memory_leaves_room_for_the_rest() -> None:
    for mib in (96, 128, 512, 4_096):
        memory = mib << 20
        clients = client_bytes(0, memory)
        state = state_bytes(memory, clients)
        assert 0 < state < memory
        assert state_bytes(2 * memory, clients) > state
        assert log_bytes(memory) >= 8 << 20
        if mib >= 128:
            assert needs(memory, clients, state) <= memory, "all parts full at once"
            more = 20 << 20
            assert (
                needs(memory, clients + more, state_bytes(memory, clients + more)) <= memory
                or state_bytes(memory, clients + more) == LEAST
            )
        if (
            mib >= 512
        ):  # a snapshot has at most a byte for two of the state (names and numbers alone)
            assert survives(memory, state // 2, PROCESS + state)
    assert state_bytes(0, 5) == 0
    assert survives(0, 1 << 40, 1 << 40)
    assert not survives(512 << 20, 200 << 20, 400 << 20)


def test_the_limit_of_a_control_group_is_read(tmp_path: Any) -> None:
    limits = {"max\n": 0, "536870912\n": 512 << 20, "9223372036854771712\n": 0}
    for text, expected in limits.items():
        (tmp_path / "max").write_text(text)
        assert limit_bytes((str(tmp_path / "missing"), str(tmp_path / "max"))) == expected
    assert limit_bytes((str(tmp_path / "missing"),)) == 0
    assert resident_bytes() > 1 << 20
