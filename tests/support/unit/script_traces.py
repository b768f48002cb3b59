"""What made-up scripts come to, to the last count: for comparing the engine in Python with the one
whose commonest parts are compiled (fast/scripts.pyx). A trace is a list of texts; two processes
with the same seeds must give the same."""

from __future__ import annotations

import dataclasses
import hashlib
from random import Random
from typing import Any

from counter_node.counters import batches
from counter_node.counters import ops as o
from counter_node.counters.batches import UserLimits
from counter_node.counters.machine import Machine
from counter_node.counters.scripts import READ_ONLY
from counter_node.resp.called import CALLABLE, Rights, operation
from counter_node.script.engine import Engine
from counter_node.script.errors import ScriptError
from counter_node.script.limits import Limits
from counter_node.script.replies import BigNumber, Double, Failure, Map, Set, Status, Verbatim
from msgspec import msgpack

from tests.support.unit.lua_limiters import LIMITERS
from tests.support.unit.lua_programs import Programs
from tests.support.unit.machine_log import Log, set_

_NAMES = ["a", "b", "c", "d", "e"]
_NUMBERS = [
    "0", "1", "-1", "7", "1.5", "'12'", "'-3'", "'007'", "'-0'", "' 4'", "''", "'x'", "2^53",
    "2^62", "2^63", "-2^62", "1e14", "1e15", "123456789012345", "'123456789012345678'",
    "'1234567890123456789'", "'9223372036854775807'", "'99999999999999999999'", "-0", "0/0", "1/0",
    "'1099511627776'", "1099511627775",
]  # fmt: skip
_CALLS = [
    "'incr', {k}", "'INCR', {k}", "'Incr', {k}", "'incrby', {k}, {n}", "'decrby', {k}, {n}",
    "'get', {k}", "'GET', {k}", "'set', {k}, {n}", "'SET', {k}, {n}, 'PX', {n}",
    "'set', {k}, {n}, 'ex', {n}", "'set', {k}, 3, 'Px', 50", "'set', {k}, 3, 'px', 40",
    "'set', {k}, 4, 'NX'", "'set', {k}, 4, 'keepttl'", "'set', {k}, 4, 'px', 9, 'get'",
    "'expire', {k}, {n}", "'pexpire', {k}, {n}", "'PEXPIRE', {k}, 30", "'expire', {k}, 5, 'NX'",
    "'ttl', {k}", "'PTTL', {k}", "'pttl'", "'time'", "'TIME', 1", "'del', {k}", "'exists', {k}",
    "'type', {k}", "'mget', {k}, {k}", "'persist', {k}", "'getdel', {k}", "'nope', {k}", "'info'",
    "'dbsize'", "'keys', '*'", "'flushall'", "{k}", "'ping'", "'ping', {n}", "'echo', {k}",
    "'get', string.rep('x', 1024)", "'get', string.rep('x', 1025)", "'incr', {n}", "nil", "{{}}",
    "'increx', {k}, 'BYINT', {n}, 'EX', 5", "'randomkey'", "'get', {n}", "",
]  # fmt: skip
_PIECES = [
    "tonumber(x)", "tonumber(x, 10)", "tonumber(x, nil)", "x .. ''", "x .. {n}", "x + {n}",
    "x - {n}", "x * {n}", "x / {n}", "x % {n}", "x < {n}", "x <= {n}", "x > {n}", "x >= {n}",
    "x == {n}", "{n} < x", "math.floor(x)", "math.ceil(x)", "math.max(x, {n})", "math.min({n}, x)",
    "math.max(x)", "math.min(1, 2, 3, x)", "({{x, {n}, nil}})[{n}]", "({{x}})[x]", "#x", "x[1]",
    "x.ok", "x.err", "{{x, {n}}}", "{{x, {{x}}, nil, 3}}", "{{ok = x}}", "{{{n}, a = x}}", "-x",
    "tostring(x)", "ARGV[{n}]", "KEYS[x]", "{{unpack({{x, x, {n}}})}}", "x",
    "math.floor({n} / 7)", "math.ceil({n} / 7)", "string.rep('y', 1100) == x",
]  # fmt: skip


def _text(chance: Random, pattern: str) -> str:
    return pattern.format(k=f"'{chance.choice(_NAMES)}'", n=chance.choice(_NUMBERS))


def program(chance: Random) -> bytes:
    """Commands and what is done with their replies; most of it fails somewhere, and is caught."""
    lines = ["local x = ARGV[1]"]
    for _ in range(chance.randrange(1, 9)):
        kind = chance.random()
        if kind < 0.4:
            lines.append(f"x = redis.pcall({_text(chance, chance.choice(_CALLS))})")
        elif kind < 0.5:
            lines.append(f"x = redis.call({_text(chance, chance.choice(_CALLS))})")
        elif kind < 0.55:
            lines.append("redis.setresp(3)")
        elif kind < 0.6:
            lines.append("for i = 1, 4 do x = redis.pcall('incr', 'a') .. i end")
        else:
            piece = _text(chance, chance.choice(_PIECES))
            lines.append(f"do local _, y = pcall(function() return {piece} end) x = y end")
    return "\n".join([*lines, "return x"]).encode()


def answer(words: list[bytes], protocol: int) -> Any:
    """Some reply, the same for the same words."""
    kind = hashlib.sha1(b"\0".join(words)).digest()[0] % 13
    return [
        1, -5, b"text", None, [1, b"a", None, [b"b"]], Status(b"OK"), Failure(b"ERR no"), [], b"12",
        Map({b"a": 1}), Set([b"x"]), Double(1.5), [Failure(b"ERR in"), Verbatim(b"txt:x"),
        BigNumber(b"9"), True],
    ][kind]  # fmt: skip


def _limits(chance: Random) -> Limits:
    """The defaults, or such that a script ends somewhere."""
    if chance.random() < 0.3:
        return Limits()
    bounds = {
        "script_steps": chance.randrange(1, 300), "script_memory_bytes": chance.randrange(1, 9_000),
        "script_reply_bytes": chance.randrange(40), "script_depth": chance.randrange(1, 7),
        "script_commands": chance.randrange(6),
    }  # fmt: skip
    return dataclasses.replace(Limits(), **dict(chance.sample(sorted(bounds.items()), 2)))


def of_engine(seed: int, count: int) -> list[str]:
    """Scripts without a state: the outcome, and what is left of each budget."""
    chance, found = Random(seed), []
    for number in range(count):
        engine = Engine(_limits(chance))
        source = Programs(seed * 1_000 + number).text().encode("latin-1")
        source = program(chance) if number % 2 else source
        try:
            script = engine.compile(source)
        except ScriptError as error:
            found.append(repr(error.text))
            continue
        budget = script.engine_run.budget
        try:
            outcome = repr(script.run([b"a", b"b"], [b"5", b"x", b"\xff\0"], answer))
        except ScriptError as error:
            outcome = repr(error.text)
        left = budget.left_bytes, budget.reply_bytes, budget.depth, budget.commands
        found.append(f"{outcome} {script.steps} {left}")
    return found


def _log(chance: Random) -> Log:
    machine = Machine(max_bytes=chance.choice([0, 0, 9_000]), max_keys=chance.choice([9, 1_000]))
    machine.operation = operation
    log = Log(machine)
    log.append(batches.encode(UserLimits(((b"u", 3, None),))))
    for name in chance.sample(_NAMES, 3):
        op = set_(name.encode(), chance.randrange(100), *chance.choice([(), (o.EX_IN, 50)]))
        log.run(o.as_user(b"u", op) if chance.random() < 0.3 else op)
    if chance.random() < 0.3:
        log.run([o.WATCH, b"w", [b"a", b"b"]])
    if chance.random() < 0.3:
        log.append(batches.encode(batches.Jump(log.time_ms, True)))
    machine.track_dirty = chance.random() < 0.5
    return log


def _rights(chance: Random) -> bytes | None:
    if chance.random() < 0.8:
        return None
    patterns = ((b"a", True, True), (b"[b-d]", True, chance.random() < 0.5))
    return msgpack.encode(Rights("u", chance.getrandbits(len(CALLABLE)), patterns, None))


def _evaluation(chance: Random) -> Any:
    flags = READ_ONLY if chance.random() < 0.1 else 0
    if chance.random() < 0.3:
        limiter = chance.choice(LIMITERS)
        op = [o.EVAL, flags, limiter.source, limiter.keys, chance.choice(limiter.runs), None]
    else:
        number = chance.choice([b"1", b"-2", b"x", b"70000000000"])
        op = [o.EVAL, flags, program(chance), [b"a"], [number], _rights(chance)]
    wrapped = chance.random()
    if wrapped < 0.1:
        return [o.MULTI, [op, b"a", op]]
    return o.as_user(b"u", op) if wrapped < 0.3 else op


def of_machine(seed: int, count: int) -> list[str]:
    """Scripts in the log: replies, changes that the cache hears of, and states."""
    found: list[str] = []
    for number in range(count):
        chance = Random(seed * 10_000 + number)
        log = _log(chance)
        for _ in range(5):
            replies = log.run(*[_evaluation(chance) for _ in range(chance.randrange(1, 4))])
            dirty, steps = sorted(log.machine.take_dirty()), log.machine._scripts._steps
            found.append(f"{replies!r} {dirty} {log.machine.checksum()} {steps}")
    return found
