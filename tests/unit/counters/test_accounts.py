"""What a user may have of the counters, counted alike on every replica."""

from __future__ import annotations

import random
from typing import Any

import pytest
from counter_node.counters import batches, levels, weights
from counter_node.counters import ops as o
from counter_node.counters.batches import LimitsRow, Op, UserLimits
from counter_node.counters.machine import Machine, UnknownOperationError
from counter_node.counters.replies import Failure
from counter_node.replica.relief import shrinks

from tests.support.unit.machine_log import Log, set_

OWNED = weights.KEY + weights.OWNER + 1  # with a name of one byte


def by(user: bytes, *ops: Op) -> list[Op]:
    return [o.as_user(user, op) for op in ops]


def limited(*rows: LimitsRow, machine: Machine | None = None) -> Log:
    log = Log(machine)
    log.append(batches.encode(UserLimits(rows)))
    return log


def used(machine: Machine) -> dict[bytes, tuple[int, int]]:
    return {account.name: (account.keys, account.size_bytes) for account, _ in machine.accounts()}


def refused(reply: Any, limit: bytes) -> bool:
    return (
        isinstance(reply, Failure)
        and reply.startswith(b"OOM user app ")
        and b"(limits.%s)" % limit in reply
    )


def owned(machine: Machine) -> dict[bytes, tuple[int, int]]:
    """The same by looking at every counter."""
    accounts = machine._state.accounts
    names = {account.number: account.name for account in accounts.by_name.values()}
    found = dict.fromkeys(accounts.by_name, (0, 0))
    for key, number in accounts.owners.items():
        keys, size = found[names[number]]
        more = (
            weights.KEY + weights.OWNER + len(key) + weights.DEADLINE * (key in machine.deadlines)
        )
        found[names[number]] = keys + 1, size + more
    assert accounts.owners.keys() <= machine.values.keys()
    return found


MAKING: list[Op] = [
    b"n",
    [o.INCRBY, b"n", 2],
    set_(b"n", 1),
    set_(b"n", 1, o.EX_IN, 10),
    [o.INCREX, b"n", 1, 0, 9, False, o.EX_KEEP, 0, False],
    [o.MSET, [b"n", 1, b"a", 1], False],
    [o.MSET, [b"n", 1], True],
    [o.TIMES, b"n", 5],
]


@pytest.mark.parametrize("op", MAKING)
@pytest.mark.parametrize(
    ("row", "limit"), [((b"app", 2, None), b"keys"), ((b"app", None, 2 * OWNED), b"bytes")]
)
def test_past_its_limit_a_user_makes_nothing_new_and_the_error_names_what(
    op: Op, row: LimitsRow, limit: bytes
) -> None:
    log = limited(row)
    log.run(*by(b"app", b"a", b"b"))
    reply = log.run(*by(b"app", op))[0]
    assert refused(reply, limit), reply
    assert b"was not executed. Delete some, or have the limit raised" in reply
    assert log.machine.values == {b"a": 1, b"b": 1}
    assert log.machine.deadlines == {}
    through_idmp = log.run(o.idmp_of(b"app", b"p", 1, op))[0]
    assert refused(through_idmp, limit), (
        "a producer has a user, too" if limit == b"keys" else through_idmp
    )


@pytest.mark.parametrize("op", MAKING)
def test_others_make_what_they_like(op: Op) -> None:
    log = limited((b"app", 0, 0))
    assert not isinstance(log.run(*by(b"other", op))[0], Failure)
    assert not isinstance(log.run([o.DEL, [b"n"]], op)[1], Failure)
    assert used(log.machine) == {b"app": (0, 0)}
    assert log.machine._state.accounts.owners == {}, "and they cost nothing"


def test_what_exists_goes_on_whoever_made_it_and_what_is_deleted_makes_room() -> None:
    log = limited((b"app", 2, None))
    log.run(b"foreign", *by(b"app", b"a", b"b"))
    assert log.run(*by(b"app", b"a", b"foreign", [o.INCRBY, b"b", -5], set_(b"a", 9))) == [
        2,
        2,
        -4,
        "OK",
    ]
    assert log.run(
        [o.GET, b"a"], *by(b"app", [o.EXPIRE, b"a", o.EX_IN, 50, o.ALWAYS], [o.PERSIST, b"a"])
    ) == [b"9", 1, 1]
    assert log.run(*by(b"app", [o.DEL, [b"foreign"]])) == [1]
    assert refused(log.run(*by(b"app", b"c"))[0], b"keys"), "that was not its own"
    assert log.run([o.DEL, [b"a"]], *by(b"app", b"c")) == [1, 1]
    assert log.run(*by(b"app", [o.MULTI, [[o.DEL, [b"c"]], b"d"]])) == [[1, 1]]
    assert refused(log.run(*by(b"app", [o.MULTI, [b"d", b"e"]]))[0][1], b"keys")
    assert log.run([o.FLUSH], *by(b"app", b"x", b"y")) == ["OK", 1, 1]


def test_an_expiry_is_paid_by_whom_the_counter_belongs_to() -> None:
    log = limited((b"app", None, 2 * OWNED + weights.DEADLINE), (b"other", None, 10_000))
    log.run(*by(b"app", b"a", b"b"), *by(b"other", b"o"))
    assert log.run(*by(b"app", [o.EXPIRE, b"a", o.EX_IN, 10, o.ALWAYS])) == [1]
    assert refused(log.run(*by(b"app", [o.EXPIRE, b"b", o.EX_IN, 10, o.ALWAYS]))[0], b"bytes")
    assert refused(log.run(*by(b"app", [o.GETEX, b"b", o.EX_IN, 10]))[0], b"bytes")
    assert log.run(
        *by(
            b"app", [o.EXPIRE, b"a", o.EX_IN, 20, o.ALWAYS], [o.EXPIRE, b"o", o.EX_IN, 20, o.ALWAYS]
        )
    ) == [1, 1]
    assert used(log.machine)[b"other"] == (1, OWNED + weights.DEADLINE)
    log.tick(20)
    assert used(log.machine) == {b"app": (1, OWNED), b"other": (0, 0)}


def test_what_is_due_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("counter_node.counters.state.SLICE", 2)
    log = limited((b"app", 20, None))
    log.run(*by(b"app", *(set_(b"%02d" % n, 1, o.EX_AT, 5_000) for n in range(20))))
    assert refused(log.run(*by(b"app", b"new"))[0], b"keys")
    log.time_ms = 5_000
    assert log.run(*by(b"app", b"new")) == [1]


def test_a_limit_is_changed_and_taken_away_while_its_user_is_at_it() -> None:
    log = limited((b"app", 3, None))
    log.run(*by(b"app", b"a", b"b", b"c"))
    log.append(batches.encode(UserLimits(((b"app", 1, None),))))
    assert log.machine.values.keys() == {b"a", b"b", b"c"}, "nothing is taken away"
    assert refused(log.run(*by(b"app", b"d"))[0], b"keys")
    assert log.run(*by(b"app", b"a")) == [2]
    log.append(batches.encode(UserLimits(((b"z", 1, None),))))
    assert log.run(*by(b"app", b"d")) == [1]
    assert used(log.machine) == {b"app": (3, 3 * OWNED), b"z": (0, 0)}, (
        "what was made without a limit is not counted"
    )
    log.append(batches.encode(UserLimits(((b"app", 4, None),))))
    assert log.run(*by(b"app", b"e")) == [1]
    assert refused(log.run(*by(b"app", b"f"))[0], b"keys")
    log.append(batches.encode(UserLimits(())))
    log.run([o.DEL, [b"a", b"b", b"c", b"e"]])
    assert used(log.machine) == {}
    assert log.machine.user_limits == ()


def test_the_accounts_follow_from_the_contents_whatever_happened_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("counter_node.counters.restore.PIECE", 7)
    monkeypatch.setattr("counter_node.counters.dump.PIECE", 7)
    rng = random.Random(5)
    log = limited((b"app", 30, None), (b"other", None, 9_000))
    session = log.machine.size_bytes
    names = [b"%d" % n * (1 + n % 5) for n in range(60)]
    for step in range(1_500):
        name = rng.choice(names)
        op = rng.choice([
            name, [o.DEL, rng.sample(names, 3)], set_(name, 1, o.EX_IN, rng.randrange(-1, 60)),
            [o.PERSIST, name],
            [o.EXPIRE, name, o.EX_IN, rng.randrange(-1, 60), o.ALWAYS], [o.MSET, [name, 1, b"x", 2],
            False],
            [o.MULTI, [name, [o.GETDEL, rng.choice(names)], rng.choice(names)]],
        ])  # fmt: skip
        log.run(*by(rng.choice([b"app", b"other", b"nobody"]), op))
        log.time_ms += rng.randrange(4)
        if step == 700:
            log.run([o.FLUSH])
        assert used(log.machine) == owned(log.machine)
        if step % 100 == 0:
            data = log.machine.snapshot()
            assert log.machine.dump().finish() == data
            copy = Machine.restore(data)
            assert copy.snapshot() == data
            assert used(copy) == used(log.machine)
            assert copy.size_bytes == log.machine.size_bytes
            log.machine = copy
    log.run([o.FLUSH])
    assert log.machine.size_bytes == session


def test_a_heavy_command_in_slices_is_paid_by_its_user_to_the_end() -> None:
    log = limited((b"app", 20_000, None))
    keys = [b"%06d" % n for n in range(9_000)]
    assert log.run(*by(b"app", [o.MSET, [x for key in keys for x in (key, 1)], False])) == ["OK"]
    assert used(log.machine)[b"app"][0] == 9_000
    log.run(b"nobodys")
    assert used(log.machine)[b"app"][0] == 9_000
    (replies,) = log.run(
        *by(b"app", [o.MULTI, [b"m" + key for key in keys] + [[o.MSET, [b"q", 1], False]]])
    )
    assert replies[-1] == "OK"
    assert refused(
        log.run(*by(b"app", [o.MSET, [x for key in keys for x in (b"z" + key, 1)], False]))[0],
        b"keys",
    )
    assert log.run(*by(b"app", [o.DEL, keys])) == [9_000]
    assert used(log.machine)[b"app"] == (9_001, 9_000 * (OWNED + 6) + OWNED)


def test_the_producers_of_a_user_are_bounded_by_themselves() -> None:
    room = 2 * (weights.PRODUCER + 2 * weights.SLOT)
    log = limited((b"app", None, room))
    log.run(b"k", o.idmp_of(b"app", b"p", 1, b"k"), o.idmp_of(b"app", b"q", 1, b"k"))
    reply = log.run(o.idmp_of(b"app", b"r", 1, b"k"))[0]
    assert reply.startswith(
        b"OOM user app has producers of IDMP that take %d bytes and may have %d (limits.bytes)"
        % (room, room)
    )
    assert log.run(o.idmp_of(b"other", b"r", 1, b"k")) == [4], "others go on"
    assert log.run(o.idmp_of(b"app", b"p", 1, b"k")) == [2], "an answer that is kept is given"
    assert log.run(*by(b"app", b"k")) == [5], "and without IDMP it goes on"
    log = limited((b"app", None, weights.PRODUCER + 20 * weights.SLOT))
    list_of: Op = [o.MULTI, [[o.GET, b"nothing"]] * 90]
    assert log.run(o.idmp_of(b"app", b"p", 1, list_of)) == [[None] * 90]
    assert log.run(o.idmp_of(b"app", b"p", 1, list_of))[0].startswith(
        b"ERR sequence 1 was executed; its reply was too large"
    )


def test_limits_belong_to_their_level() -> None:
    assert levels.lowered(o.as_user(b"app", b"k"), levels.USERS_LEVEL - 1) == b"k"
    assert levels.lowered(o.as_user(b"app", [o.MULTI, [b"k"]]), 1) == [o.MULTI, [b"k"]]
    assert levels.level_of(o.as_user(b"app", b"k")) == levels.USERS_LEVEL
    old = Log(Machine.restore(Machine(knows=levels.USERS_LEVEL - 1).snapshot()))
    for body in (batches.encode(UserLimits(((b"a", 1, None),))),):
        with pytest.raises(AssertionError, match="the entry of users' limits is of level"):
            old.append(body)
    older = Log(Machine(knows=levels.USERS_LEVEL - 1))
    with pytest.raises(UnknownOperationError, match="upgrade this node"):
        older.append(batches.encode(UserLimits(())))
    with pytest.raises(UnknownOperationError, match="upgrade this node"):
        older.run(o.as_user(b"app", b"k"))


def test_a_full_disk_takes_the_deletions_of_a_user_with_a_limit() -> None:
    assert shrinks(o.as_user(b"app", [o.MULTI, [[o.DEL, [b"k"]]]]), 0, 0)
    assert not shrinks(o.as_user(b"app", [o.MULTI, [[o.DEL, [b"k"]], b"k"]]), 0, 0)


def test_a_snapshot_with_owners_is_never_larger_than_was_foreseen() -> None:
    log = limited((b"app", 10_000, None))
    log.run(
        *by(
            b"app",
            *(set_(b"%d" % n * 7, (1 << 62) + n, o.EX_AT, (1 << 60) + n) for n in range(3_000)),
        )
    )
    assert len(log.machine.snapshot()) <= log.machine.snapshot_bytes() + 1_000
