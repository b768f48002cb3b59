"""Whatever the text and whatever its commands answer: a reply or a ScriptError that is not the
engine's own failure, in bounded time, the same in every process."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from counter_node.script.engine import Engine
from counter_node.script.errors import FaultError, ScriptError
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.unit import lua_programs, lua_torments
from tests.support.unit.lua_limiters import LIMITERS
from tests.support.unit.script_traces import answer

ENGINE = Engine()
_KEYWORDS = (
    "and break do else elseif end false for function if in local nil not or repeat return then "
    "true until while KEYS ARGV redis redis.call redis.pcall cjson.encode cjson.decode string.rep "
    "string.format string.gsub string.find table.concat table.sort table.insert unpack pairs next "
    "ipairs tostring tonumber math.floor pcall error select a b c _ self arg x.y"
)
_SIGNS = (
    "+ - * / % ^ # == ~= <= >= < > = ( ) { } [ ] ; : , . .. ... [[ ]] --[[ ]] -- ' \" "
    "1 0 0x1F 1e9 'a' \"%d+\" [=[x]=] 1/0 -1 '\\255\\0' \\ \0"
)
_WORDS = [*_KEYWORDS.split(), *_SIGNS.split(), "\n"]


def outcome(source: bytes) -> bytes:
    """The reply's text, or the error's."""
    try:
        script = ENGINE.compile(source)
        return repr(script.run([b"k1", b"k2"], [b"1", b"x", b"\xff\0"], answer)).encode()
    except FaultError as fault:
        raise AssertionError(f"the engine failed at {source!r}") from fault
    except ScriptError as error:
        text = error.text
    assert b"\n" not in text
    return text


def mutated(draw: random.Random) -> bytes:
    """A program that was whole, with words, lines or bytes put elsewhere."""
    kind = draw.random()
    if kind < 0.5:
        source = lua_programs.Programs(draw.randrange(100_000)).text().encode("latin-1")
    elif kind < 0.8:
        source = draw.choice(LIMITERS).source
    else:
        source = draw.choice(list(lua_torments.ENDLESS.values()))
    for _ in range(draw.randint(1, 4)):
        at, to = sorted((draw.randrange(len(source) + 1), draw.randrange(len(source) + 1)))
        change = draw.random()
        if change < 0.4:
            word = draw.choice(_WORDS).encode("latin-1")
            source = source[:at] + b" " + word + b" " + source[at:]
        elif change < 0.6:
            source = source[:at] + source[min(to, at + 8) :]
        elif change < 0.8:
            source = source[:at] + source[at : at + 30] * 2 + source[at + 30 :]
        else:
            source = source[:at] + bytes([draw.randrange(256)]) + source[at + 1 :]
    return source


def sources(seed: int, count: int) -> list[bytes]:
    draw = random.Random(seed)
    found: list[bytes] = []
    for number in range(count):
        if number % 3 == 0:
            words = [draw.choice(_WORDS) for _ in range(draw.randint(1, 40))]
            found.append(" ".join(words).encode("latin-1"))
        else:
            found.append(mutated(draw))
    return found


@given(st.binary(max_size=300))
@settings(max_examples=500, deadline=None)
def test_any_bytes(source: bytes) -> None:
    outcome(source)


@given(st.lists(st.sampled_from(_WORDS), max_size=60))
@settings(max_examples=1_000, deadline=None)
def test_any_words_of_the_language(words: list[str]) -> None:
    outcome(" ".join(words).encode("latin-1"))


@pytest.mark.parametrize("seed", range(4))
def test_programs_that_were_whole(seed: int) -> None:
    for source in sources(seed, 1_000):
        outcome(source)


@given(
    st.sampled_from(("string.rep", "string.sub", "string.format", "string.gsub", "string.find",
    "string.byte", "string.char", "table.concat", "table.insert", "table.remove", "table.sort",
    "unpack", "select", "tonumber", "tostring", "math.floor", "math.fmod", "math.pow", "math.ldexp",
    "math.log", "math.exp", "math.max", "cjson.encode", "cjson.decode", "redis.sha1hex", "next",
    "redis.error_reply", "redis.status_reply", "redis.log", "redis.setresp", "rawset", "rawget",
    "ipairs", "pairs", "error", "assert", "pcall", "xpcall", "table.maxn", "math.modf",
    "math.frexp", "string.gmatch", "table.foreach", "string.reverse", "redis.call", "math.sqrt",
    "table.getn", "rawequal", "type", "string.len", "string.lower", "table.foreachi")),
    st.lists(st.sampled_from(("nil", "true", "0", "-1", "1.5", "1/0", "-1/0", "0/0", "1e300",
    "2^53", "-2^63", "5e-324", "''", "'abc'", "'%d'", "'%'", "'%99.99f'", "'1e999'", "'('",
    "'[a'", "'%b'", "{}", "{1,2}", "{a=1}", "{[1.5]={}}", "redis", "print_", "function() end",
    "function(a) return a end", "function() error('x') end", "tostring", "cjson.null", "KEYS",
    "ARGV[3]", "string.rep('x', 9000)", "'0x'", "'[1,2'", "-0", "99", "'%s%s%s'", "{{},{}}",
    "unpack({1, nil, 3})")), max_size=5),
)  # fmt: skip
@settings(max_examples=3_000, deadline=None)
def test_any_function_with_any_arguments(function: str, arguments: list[str]) -> None:
    call = f"{function}({', '.join(arguments)})"
    caught = f"pcall({', '.join([function, *arguments])})"
    method = f"({arguments[0] if arguments else 1}):len() + {call}"
    for source in (f"return {{{call}}}", f"return {{{caught}}}", f"return {method}"):
        outcome(source.encode("latin-1"))


def digest(seed: int, count: int) -> str:
    found = hashlib.sha256()
    for source in sources(seed, count):
        found.update(outcome(source))
    return found.hexdigest()


def test_the_bytes_are_the_same_in_processes_with_other_hashes() -> None:
    root = Path(__file__).resolve().parents[3]
    program = (
        f"import sys; sys.path[:0] = [{str(root / 'node_image')!r}, {str(root)!r}]; "
        "from tests.unit.script.test_fuzz import digest; print(digest(5, 600))"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("0", "1", "4242")
    }  # fmt: skip
    assert len(digests) == 1
