"""A script that fails leaves nothing behind: the bytes of the state are those of before, whatever
its commands did, and replicas that ran it are the same as those that did not."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from counter_node.counters import batches
from counter_node.counters import ops as o
from counter_node.counters.batches import UserLimits
from counter_node.counters.machine import Machine
from counter_node.counters.replies import OK, Failure, pack
from counter_node.counters.scripts import Call
from counter_node.resp.called import operation

from tests.support.unit.machine_log import Log, set_

FAIL = b" error('on purpose')"
NAMES = [b"k%d" % n for n in range(8)]


def script(text: bytes, keys: list[bytes] | None = None, flags: int = 0) -> Any:
    return [o.EVAL, flags, text, keys or [], [], None]


def log_of(seed: int) -> Log:
    """A state with all kinds of things in it."""
    machine = Machine()
    machine.operation = operation
    log, chance = Log(machine), random.Random(seed)
    log.append(batches.encode(UserLimits(((b"free", None, 10_000), (b"u", 40, None)))))
    for name in chance.sample(NAMES, 6):
        op = set_(name, chance.randrange(100), *chance.choice([(), (o.EX_IN, 500), (o.EX_IN, 9)]))
        log.run(o.as_user(b"u", op) if chance.random() < 0.5 else op)
    log.run([o.WATCH, b"w", NAMES[:3]], [o.WATCH, b"v", NAMES[5:]])
    if chance.random() < 0.5:
        log.append(batches.encode(batches.Jump(log.time_ms, True)))
        log.run([o.EXPIRE, NAMES[0], o.EX_IN, 700, o.ALWAYS])
    return log


def body(chance: random.Random) -> bytes:
    def call() -> bytes:
        key, other = chance.choice(NAMES), chance.choice(NAMES)
        return b"redis.pcall(%s)\n" % chance.choice([
            b"'incr', '%s'" % key, b"'set', '%s', 5" % key, b"'set', '%s', 6, 'px', 300" % key,
            b"'set', '%s', 7, 'keepttl'" % key, b"'del', '%s', '%s'" % (key, other),
            b"'expire', '%s', 40" % key, b"'expire', '%s', -1" % key, b"'persist', '%s'" % key,
            b"'getdel', '%s'" % key, b"'mset', '%s', 1, '%s', 2" % (key, other),
            b"'pexpireat', '%s', 900" % key, b"'incr', 'new%d'" % chance.randrange(30),
            b"'incrby', '%s', '9223372036854775807'" % key,
        ])  # fmt: skip

    calls = [call() for _ in range(chance.randrange(1, 12))]
    if chance.random() < 0.3:
        calls.insert(chance.randrange(len(calls) + 1), b"redis.call('flushall')\n")
    return b"".join(calls)


def whole(log: Log) -> tuple[Any, ...]:
    """More than the snapshot: what follows from the tables is counted along."""
    machine, state = log.machine, log.machine._state
    table = machine._scripts.table
    machine._scripts.table = type(table)()  # which scripts ran is kept, whatever became of them
    found = machine.snapshot(), machine.size_bytes, state.size_bytes, state.again_bytes
    machine._scripts.table = table
    accounts = [(a.name, a.keys, a.size_bytes) for a, _ in machine.accounts()]
    pairs = sorted(pair for bucket in state.schedule.buckets for pair in bucket)
    index = sorted(key for bucket in state.index.buckets for key in bucket)
    return *found, accounts, pairs, index, state.undo, state.watches.newly_broken


@pytest.mark.parametrize("seed", range(150))
def test_a_script_that_fails_leaves_nothing_behind(seed: int) -> None:
    chance, log = random.Random(seed), log_of(seed)
    wrap = (lambda op: o.as_user(b"free", op)) if seed % 3 == 0 else (lambda op: op)
    log.run()
    before = whole(log)
    for _ in range(3):
        (reply,) = log.run(wrap(script(body(chance) + FAIL)))
        assert isinstance(reply, Failure)
        assert b"on purpose" in reply
        assert without_numbers(whole(log)) == without_numbers(before)


def without_numbers(found: tuple[Any, ...]) -> tuple[Any, ...]:
    """A snapshot tells the numbers of batches; the rest is compared."""
    fields = msgspec.msgpack.decode(found[0], strict=False)
    return fields[:4] + fields[5:], *found[1:]


@pytest.mark.parametrize("seed", range(40))
def test_a_dump_that_is_under_way_does_not_notice(seed: int) -> None:
    chance, log = random.Random(seed), log_of(seed)
    expected = log.machine.snapshot()
    dump = log.machine.dump()
    for _ in range(3):
        log.run(script(body(chance) + (FAIL if chance.random() < 0.6 else b"")))
    assert dump.finish() == expected
    dump.close()
    assert Machine.restore(log.machine.snapshot()).snapshot() == log.machine.snapshot()
    later = log.machine.dump()
    log.run(script(body(chance)))
    assert len(later.finish()) > 100


@pytest.mark.parametrize("seed", range(40))
def test_a_script_that_ends_well_does_what_its_commands_do(seed: int) -> None:
    """The same commands without a script leave the same counters."""
    chance = random.Random(seed)
    text = body(chance)
    ran, plain = log_of(seed), log_of(seed)
    ran.run(script(text))
    for number, line in enumerate(text.splitlines()):
        words = [w.strip(b" ')") for w in line.removeprefix(b"redis.").split(b"(")[1].split(b",")]
        op = operation(words, Call(None, False, number))
        if not isinstance(op, Failure):
            plain.run(op)
    assert ran.machine.values == plain.machine.values
    assert ran.machine.deadlines == plain.machine.deadlines


def test_a_script_that_fails_breaks_no_watch_and_one_that_succeeds_does() -> None:
    log = log_of(1)
    log.run([o.UNWATCH, b"w", pack(OK)], [o.WATCH, b"w", [b"k0", b"k1"]])
    log.run(script(b"redis.call('incr', 'k0') redis.call('flushall')" + FAIL))
    assert log.run([o.EXEC_IF, b"w", [[o.DBSIZE]]])[0] == [len(log.machine.values)]
    log.run([o.WATCH, b"w", [b"k0"]], script(b"redis.call('incr', 'k0')"))
    assert type(log.run([o.EXEC_IF, b"w", [[o.DBSIZE]]])[0]).__name__ == "NoList"


def test_an_account_that_a_script_empties_is_there_again() -> None:
    machine = Machine()
    machine.operation = operation
    log = Log(machine)
    log.append(batches.encode(UserLimits(((b"u", 5, None),))))
    log.run(o.as_user(b"u", b"mine"))
    log.append(batches.encode(UserLimits(())))
    before = [(a.name, a.keys, a.size_bytes) for a, _ in machine.accounts()]
    assert before
    assert before[0][1] == 1
    for text in (b"redis.call('del', 'mine')", b"redis.call('flushall')"):
        log.run(script(text + FAIL))
        assert [(a.name, a.keys, a.size_bytes) for a, _ in machine.accounts()] == before
    log.run(script(b"redis.call('del', 'mine')"))
    assert machine.accounts() == []


def test_what_was_due_stays_gone() -> None:
    machine = Machine(max_keys=1_500)
    machine.operation = operation
    log = Log(machine)
    pairs = [x for n in range(1_400) for x in (b"due%d" % n, 1)]
    log.run([o.MSET, pairs, False])
    log.run(*([o.EXPIRE, b"due%d" % n, o.EX_IN, 5, o.ALWAYS] for n in range(1_400)))
    log.time_ms += 10
    text = b"for n = 1, 200 do redis.call('set', 'new' .. n, n) end redis.call('get', 'due3')"
    log.run(script(text + FAIL))
    log.tick(1)
    assert len(machine.values) == 0
