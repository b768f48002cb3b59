"""Scripts in the engine and in a real redis-server: the bytes of the replies are the same.

What is the engine's own is in test_script.py, and in docs/internals/scripts.md."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from counter_node.script.engine import Engine
from counter_node.script.limits import Limits

from tests.support.redis_server import RedisServer
from tests.support.unit.lua_limiters import LIMITERS, Limiter
from tests.support.unit.lua_oracle import Oracle
from tests.support.unit.lua_programs import Programs

pytestmark = pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server here")

ROWS = (Path(__file__).parent / "testdata" / "rows.lua").read_bytes().splitlines()
WIDE = Limits(script_steps=1_000_000, script_tokens=20_000, script_code_bytes=1_000_000)
"""Made-up programs are longer than those of people."""


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        oracle = Oracle(server.port, Engine(WIDE))
        yield oracle
        oracle.close()


def test_single_lines_of_lua(oracle: Oracle) -> None:
    for row in ROWS:
        oracle.forget()
        theirs, ours = oracle.both(row, [b"k1"], [b"60"])
        assert ours == theirs, row.decode("latin-1")
    assert len(ROWS) > 400


@pytest.mark.parametrize("limiter", LIMITERS, ids=lambda limiter: limiter.name)
def test_scripts_like_those_of_limiters(oracle: Oracle, limiter: Limiter) -> None:
    oracle.forget()
    for arguments in limiter.runs:
        theirs, ours = oracle.both(limiter.source, limiter.keys, arguments)
        assert ours == theirs


@pytest.mark.parametrize("seed", range(0, 3_000, 500))
def test_made_up_programs(oracle: Oracle, seed: int) -> None:
    replies = []
    for number in range(seed, seed + 500):
        source = Programs(number).text().encode("latin-1")
        oracle.forget()
        theirs, ours = oracle.both(source)
        assert ours == theirs, f"seed {number}:\n{source.decode('latin-1')}"
        replies.append(ours[:1])
    # Enough of them come to their end to compare what they did.
    assert replies.count(b"*") > 200


_JSON = (
    "1", "0", "-", "+", ".", "e", "x", "0x1F", "inf", "nan", "tru", "true", "null", "false", '"',
    "\\", "\\n", "\\u00e9", "\\ud83d", "\\ude00", " ", "\t", "[", "]", "{", "}", ",", ":", '"a"',
    '"b":', "1.5", "-2", "1e5", "\0", "08", "\\x", "é", "[1,2]", '{"k":[]}',
)  # fmt: skip


def test_texts_that_are_json_or_nearly(oracle: Oracle) -> None:
    draw = random.Random(7)
    source = b"local v = cjson.decode(ARGV[1]) return { cjson.encode(v), type(v) }"
    for _ in range(3_000):
        text = "".join(draw.choice(_JSON) for _ in range(draw.randint(1, 6)))
        if draw.random() < 0.5:
            text = f"[{text}, {draw.choice(_JSON)}]"
        theirs, ours = oracle.both(source, [], [text.encode()])
        assert ours == theirs, text


_PARTS = (
    "a", "b", "%a", "%d", "%s", "%w", "%x", "%p", "%u", "%l", "%c", "%S", "%D", ".", "[ab]", "[^a]",
    "[a-c]", "[%d_]", "(", ")", "()", "*", "+", "-", "?", "^", "$", "%", "%b()", "%f[%w]", "%1",
    "[", "]", "[]]", "%%", "%.", "[^%s]", "1", " ", "(a)", "(.-)",
)  # fmt: skip


def test_patterns_that_are_right_or_nearly(oracle: Oracle) -> None:
    draw = random.Random(11)
    source = b"""
local t, p = ARGV[1], ARGV[2]
local out = { pcall(string.find, t, p) }
for _, v in ipairs({ pcall(string.gsub, t, p, '<%0>') }) do out[#out + 1] = v end
for _, v in ipairs({ pcall(string.match, t, p, 2) }) do out[#out + 1] = v end
for k, v in ipairs(out) do out[k] = tostring(v) end
return out"""
    for _ in range(4_000):
        pattern = "".join(draw.choice(_PARTS) for _ in range(draw.randint(1, 6)))
        text = "".join(draw.choice("aabbc1 (_)A.") for _ in range(draw.randint(0, 12)))
        theirs, ours = oracle.both(source, [], [text.encode(), pattern.encode()])
        assert ours == theirs, (text, pattern)


def test_numbers_become_the_same_text(oracle: Oracle) -> None:
    draw = random.Random(13)
    source = b"""
local n = tonumber(ARGV[1])
if not n then return 'none' end
return { tostring(n), n, string.format('%.17g|%.3f|%e|%g|%5.1f', n, n, n, n, n), tostring(n * 3),
  tostring(math.floor(n)), tostring(n / 7), tostring(n % 3), tostring(-n), tostring(n ^ 2) }"""
    for _ in range(2_000):
        number = draw.choice((
            f"{draw.uniform(-1000, 1000)!r}", f"{draw.randint(-(2**62), 2**62)}",
            f"{draw.randint(-9, 9)}e{draw.randint(-300, 300)}", f"{draw.randint(-9, 9)}",
            f"0x{draw.randint(0, 2**40):x}", f"{draw.uniform(0, 1)!r}", f" {draw.random():.3f}\t",
            f"{draw.randint(0, 9)}{draw.choice('eEx.+-_ ')}{draw.randint(0, 9)}",
        ))  # fmt: skip
        theirs, ours = oracle.both(source, [], [number.encode()])
        assert ours == theirs, number


def test_powers_and_logarithms_have_the_same_digits(oracle: Oracle) -> None:
    """Redis prints 14 digits; the last of the 17 may be libm's."""
    draw = random.Random(17)
    source = b"""
local a, b = tonumber(ARGV[1]), tonumber(ARGV[2])
return { tostring(a ^ b), tostring(math.exp(b)), tostring(math.log(a)), tostring(math.log10(a)),
  tostring(math.sqrt(a)), tostring(math.fmod(a, b)), tostring(math.pow(a, -b)) }"""
    for _ in range(1_000):
        a = draw.choice((draw.uniform(0, 100), draw.uniform(-5, 5), float(draw.randint(-5, 50)), 0))
        b = draw.choice((draw.uniform(-10, 10), float(draw.randint(-20, 20)), 0.5, 0, 1000.0))
        theirs, ours = oracle.both(source, [], [repr(a).encode(), repr(b).encode()])
        assert ours == theirs, (a, b)
