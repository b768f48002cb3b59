"""Makes what a client might send, and what no client should: streams of commands, whole and
damaged. The same seed makes the same inputs."""

from __future__ import annotations

import hashlib
import random

from counter_node.resp.commands import BY_NAME

NAMES = sorted(name.encode() for name in BY_NAME)
OPTIONS = (
    b"EX PX EXAT PXAT NX XX GT LT GET KEEPTTL PERSIST IFEQ IFNE BYINT LBOUND UBOUND SATURATE ENX "
    b"MATCH COUNT TYPE string AUTH SETNAME LIST INFO KILL "
    b"ID DOCS GETKEYS FILTERBY PATTERN HELP FLUSH SLOTS SHARDS NODES KEYSLOT ASYNC incr set exec "
    b"multi"
).split()
NUMBERS = [
    b"0",
    b"1",
    b"-1",
    b"2",
    b"3",
    b"10",
    b"100",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"01",
    b"1.5",
]
KEYS = [b"k%d" % n for n in range(20)]
ODD = [
    b"",
    b"\xff\x00",
    b"\r\n",
    b"*",
    b"k*",
    b"[a-",
    b"\\",
    b"$1",
    b"*1\r\n",
    b"x" * 2_000,
    b"'",
    b'"',
]
HEADERS = [
    b"*1000000000\r\n",
    b"*-1\r\n",
    b"$536870913\r\n",
    b"$-1\r\n",
    b"*0\r\n",
    b"*3\r\n$1\r\n",
    b"+PING\r\n",
    b"(1\r\n",
    b"_\r\n",
]
PRODUCERS = [b"p1", b"p2"]
_SCRIPTING = (b"eval", b"evalsha", b"eval_ro", b"evalsha_ro", b"script")
_COMMON = [
    b"eval",
    b"eval",
    b"evalsha",
    b"incr",
    b"get",
    b"set",
    b"increx",
    b"mset",
    b"expire",
    b"multi",
    b"exec",
    b"watch",
    b"idmp",
    b"scan",
    b"hello",
    b"getex",
    b"del",
]


CALLS = [
    b"redis.call('incr', KEYS[1])", b"redis.pcall('set', KEYS[2], ARGV[1], 'EX', 9)",
    b"redis.call('del', 'k1', 'k2')", b"redis.pcall('flushall')", b"redis.call('nope')",
    b"redis.call('time')[1] + 1", b"redis.call(ARGV[1], ARGV[2], ARGV[3])", b"error({err='MY x'})",
    b"redis.pcall('mget', 'k1', 'k3')", b"redis.setresp(3)", b"tostring(nil) .. #KEYS",
    b"redis.call('mset', unpack(ARGV))", b"string.rep('x', tonumber(ARGV[1]) or 3)",
    b"redis.pcall('scan', 0, 'COUNT', ARGV[1])", b"redis.pcall('eval', 'return 1', 0)",
]  # fmt: skip
SHAPES = [
    b"return %s", b"local r = %s return {r, %s}", b"if %s then %s end", b"for i = 1, 3 do %s end",
    b"while true do %s end", b"local function f() return f() end %s return f()",
    b"return {%s, {%s}}",
    b"%s error('x')", b"pcall(function() %s error('y') end) return %s",
    b"#!lua flags=no-writes\n%s",
]  # fmt: skip


def script(rng: random.Random) -> bytes:
    """The text of one, more or less sensible."""
    shape = rng.choice(SHAPES)
    text = shape % tuple(rng.choice(CALLS) for _ in range(shape.count(b"%s")))
    if rng.random() < 0.15:
        at = rng.randrange(len(text))
        text = text[:at] + rng.randbytes(rng.randint(0, 3)) + text[at + rng.randint(0, 4) :]
    return text


def _script_words(rng: random.Random, name: bytes) -> list[bytes]:
    if name == b"script":
        return [name, rng.choice([b"load", b"LOAD", b"exists", b"flush", b"kill"]), script(rng)]
    if b"sha" in name:
        text = hashlib.sha1(script(rng), usedforsecurity=False).hexdigest().encode()
    else:
        text = script(rng)
    rest = [_word(rng) for _ in range(rng.randint(0, 5))]
    return [name, text, rng.choice([b"0", b"1", b"2", b"2", b"%d" % len(rest), _word(rng)]), *rest]


def words(rng: random.Random) -> list[bytes]:
    """The words of one command, more or less sensible."""
    name = rng.choice(_COMMON) if rng.random() < 0.6 else rng.choice(NAMES)
    command = BY_NAME[name.decode()]
    if name == b"idmp" and rng.random() < 0.9:
        inner = words(rng)
        if rng.random() < 0.1:  # too short
            inner = inner[: rng.randint(1, 2)]
        return [name, rng.choice(PRODUCERS), b"%d" % rng.randint(1, 40), *inner]
    if name in _SCRIPTING:
        return _script_words(rng, name)
    count = max(
        0,
        abs(command.arity)
        - 1
        + (rng.choice((0, 0, 0, 1, 2, 4, -1)) if command.arity < 0 or rng.random() < 0.1 else 0),
    )
    rest = [_word(rng) for _ in range(count)]
    if rest and rng.random() < 0.8:
        rest[0] = rng.choice(KEYS)
    return [name.upper() if rng.random() < 0.3 else name, *rest]


def _word(rng: random.Random) -> bytes:
    kind = rng.random()
    if kind < 0.45:
        return rng.choice(NUMBERS)
    if kind < 0.65:
        return rng.choice(KEYS)
    if kind < 0.9:
        return rng.choice(OPTIONS)
    return rng.choice(ODD) if kind < 0.97 else rng.randbytes(rng.randint(0, 12))


def stream(rng: random.Random) -> bytes:
    """Bytes of one connection: a few commands, sometimes damaged."""
    parts = [_framed(rng, words(rng)) for _ in range(rng.choice((1, 1, 2, 3, 6)))]
    data = b"".join(parts)
    if rng.random() < 0.25:
        data = _damaged(rng, data)
    return data


def _framed(rng: random.Random, command: list[bytes]) -> bytes:
    if rng.random() < 0.1:
        return b" ".join(command) + rng.choice((b"\r\n", b"\n"))
    return b"*%d\r\n" % len(command) + b"".join(
        [b"$%d\r\n%s\r\n" % (len(word), word) for word in command]
    )


def _damaged(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(changed) + 1)
        kind = rng.random()
        if kind < 0.3:
            changed[at : at + 1] = rng.randbytes(1)
        elif kind < 0.5:
            del changed[at : at + rng.randint(1, 8)]
        elif kind < 0.7:
            changed[at:at] = changed[: rng.randint(0, 30)]
        elif kind < 0.9:
            changed[at:at] = rng.choice(HEADERS)
        else:
            del changed[at:]
    return bytes(changed)


def cut(rng: random.Random, data: bytes) -> list[bytes]:
    """As it might arrive."""
    if len(data) < 2 or rng.random() < 0.6:
        return [data]
    places = sorted(rng.randrange(1, len(data)) for _ in range(rng.randint(1, 4)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
