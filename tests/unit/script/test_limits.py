"""Budgets: each is a count with a name, ends a script wherever it is spent, and is never caught."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytest
from counter_node.script.engine import Engine
from counter_node.script.errors import CompileError, FaultError, LimitError
from counter_node.script.limits import NESTING, SAFE_DEPTH, Limits

from tests.support.unit.lua_torments import ENDLESS, LONG_SOURCES


def nothing(words: list[bytes], protocol: int) -> Any:
    return 1


def limit(source: bytes, limits: Limits | None = None) -> LimitError:
    with pytest.raises(LimitError) as raised:
        Engine(limits).compile(source).run([b"k"], [], nothing)
    return raised.value


@pytest.mark.parametrize(
    ("setting", "source"),
    [("script_source_bytes", b"-- " + b"x" * 20_000), ("script_tokens", b"f() " * 600),
    ("script_code_bytes", b"f(a.b.c.d.e) " * 120), ("script_steps", b"while true do end"),
    ("script_memory_bytes", b"return string.rep('x', 2000000)"),
    ("script_depth", b"local function f() return 1 + f() end return f()"),
    ("script_commands", b"for i = 1, 2000 do redis.call('incr', 'k') end")],
)  # fmt: skip
def test_every_budget_has_its_error(setting: str, source: bytes) -> None:
    error = limit(source)
    assert error.setting == setting
    assert error.text.startswith(b"ERR %s is %d: " % (setting.encode(), error.most))
    assert error.most == getattr(Limits(), setting)


@pytest.mark.parametrize(
    "source",
    [b"while true do pcall(function() while true do end end) end",
    b"local function f() pcall(f) end pcall(f)",
    b"pcall(string.rep, 'x', 2000000) return 1",
    b"for i = 1, 2000 do redis.pcall('incr', 'k') end",
    b"xpcall(function() while true do end end, function() return 1 end) return 1"],
)  # fmt: skip
def test_no_script_catches_a_limit(source: bytes) -> None:
    limit(source)


def test_a_budget_is_whole_again_in_the_next_run() -> None:
    script = Engine().compile(b"for i = 1, 900 do redis.call('incr', 'k') end return 'done'")
    assert [script.run([], [], nothing) for _ in range(3)] == [b"done"] * 3


def test_a_limit_that_was_met_leaves_nothing_behind() -> None:
    engine = Engine()
    deep = engine.compile(b"local function f() return 1 + f() end return f()")
    with pytest.raises(LimitError):
        deep.run([], [], nothing)
    source = b"local function f(n) if n == 0 then return 0 end return 1 + f(n - 1) end return f(50)"
    assert engine.compile(source).run([], [], nothing) == 50


def test_a_caught_error_gives_the_depth_back() -> None:
    source = b"""
local function f(n) if n == 0 then error('x') end return f(n - 1) end
for i = 1, 20 do pcall(f, 40) end
return 'done'"""
    assert Engine().compile(source).run([], [], nothing) == b"done"


@pytest.mark.parametrize("name", ENDLESS)
def test_what_never_ends_by_itself_is_ended_by_a_count(name: str) -> None:
    """The time here is many times what docs/internals/scripts.md measured."""
    engine = Engine()
    script = engine.compile(ENDLESS[name])
    begin = time.thread_time()
    with pytest.raises(LimitError) as first:
        script.run([b"k"], [], nothing)
    assert time.thread_time() - begin < 2
    with pytest.raises(LimitError) as second:
        Engine().compile(ENDLESS[name]).run([b"k"], [], nothing)
    assert first.value.text == second.value.text


@pytest.mark.parametrize("name", LONG_SOURCES)
def test_compiling_what_is_as_long_as_it_may_be_takes_bounded_time(name: str) -> None:
    begin = time.thread_time()
    try:
        Engine().compile(LONG_SOURCES[name])
    except (CompileError, LimitError) as error:
        said = error.text
    else:
        said = b"ERR no error"
    assert said.startswith(b"ERR ")
    assert time.thread_time() - begin < 2


_NESTED = {
    "brackets": (b"return ", b"(", b"1", b")"),
    "tables": (b"return ", b"{", b"1", b"}"),
    "keys": (b"return ", b"{[", b"1", b"]=1}"),
    "calls": (b"return ", b"type(", b"1", b")"),
    "functions": (b"return ", b"(function() return ", b"1", b" end)()"),
    "functions of loops": (
        b"",
        b"for i = 1, 1 do local f = function() ",
        b"",
        b" return i end end ",
    ),
    "minus": (b"return ", b"- ", b"1", b""),
    "not": (b"return ", b"not ", b"1", b""),
    "powers": (b"return ", b"2 ^ ", b"1", b""),
    "index": (b"local t = {} return ", b"t[", b"1", b"]"),
    "if": (b"", b"if KEYS then ", b"", b" end "),
    "else": (b"", b"if KEYS then else ", b"", b" end "),
    "while": (b"", b"while KEYS do ", b"", b" end "),
    "repeat": (b"", b"repeat ", b"", b" until KEYS "),
    "for": (b"", b"for i = 1, 2 do ", b"", b" end "),
    "for in": (b"", b"for k, v in pairs(KEYS) do ", b"", b" end "),
    "do": (b"", b"do ", b"", b" end "),
    "sums": (b"return 1", b"", b"", b" + KEYS"),
    "sums of texts": (b"return 1", b"", b"", b" .. KEYS"),
    "choices": (b"return 1", b"", b"", b" and KEYS"),
    "both": (b"return ", b"(KEYS or ", b"1", b" and 2)"),
    "members": (b"return KEYS", b"", b"", b".a"),
    "methods": (b"return KEYS", b"", b"", b":a()"),
    "called again": (b"return type", b"", b"", b"()"),
    "mixed": (b"return ", b"{(type({[1]=-", b"1", b"}))}"),
    "conditions": (b"if ", b"not (KEYS and ", b"1", b" or ARGV)"),
    "elseif": (b"if KEYS then ", b"", b"", b" elseif (function() return 1 end)() then"),
}


@pytest.mark.parametrize("name", _NESTED)
def test_nesting_ends_at_our_own_limit_and_never_at_pythons(name: str) -> None:
    begin, opening, middle, closing = _NESTED[name]
    limits = Limits(
        script_source_bytes=10_000_000, script_tokens=10_000_000, script_code_bytes=10_000_000
    )
    engine = Engine(limits)
    met = False
    for depth in [*range(1, 3 * NESTING), 1_000, 20_000]:
        source = begin + opening * depth + middle + closing * depth
        source += b" then end" if name == "conditions" else b""
        source += b" end" * (name == "elseif")
        try:
            engine.compile(source)
        except FaultError:
            pytest.fail(f"{name}, {depth} deep: Python failed first")
        except CompileError as error:
            met = met or b"too many syntax levels" in error.text or b"inside each" in error.text
    assert met or name in ("sums of texts", "called again", "methods", "members")


def test_the_deepest_calls_use_a_part_of_pythons_stack() -> None:
    """With the largest depth that may be set, and what adds most frames to each level."""
    sources = [
        b"local function f(n) if n == 0 then return 0 end return 1 + f(n - 1) end return f(98)",
        b"local function f(n) if n == 0 then return 0 end "
        b"local ok, v = pcall(f, n - 1) return v end return f(48)",
        b"local function f(n) if n > 0 then "
        b"table.sort({1, 2}, function() f(n - 1) return true end) end end f(48) return 0",
        b"local function f(n) if n > 0 then "
        b"string.gsub('abc', '(a)(b)(c)', function() return f(n - 1) end) end return '' end "
        b"f(48) return 0",
        b"local function f(n) if n > 0 then xpcall(function() error(1) end, "
        b"function() f(n - 1) end) end end f(32) return 0",
        b"local function f(n) if n > 0 then table.foreach({1}, function() f(n - 1) end) end end "
        b"f(48) return 0",
    ]
    deepest = 0

    def probe(frame: Any, event: str, argument: Any) -> None:
        nonlocal deepest
        depth = 0
        while frame is not None:
            depth, frame = depth + 1, frame.f_back
        deepest = max(deepest, depth)

    engine = Engine(Limits(script_depth=SAFE_DEPTH, script_steps=1_000_000))
    outside = 0
    frame = sys._getframe()
    while frame is not None:
        outside, frame = outside + 1, frame.f_back  # type: ignore[assignment]
    for source in sources:
        script = engine.compile(source)
        sys.setprofile(probe)
        try:
            script.run([], [], nothing)
        finally:
            sys.setprofile(None)
    assert deepest - outside < 500  # of 1,000; a node's own stack is below 50


def test_a_depth_that_python_does_not_bear_is_refused() -> None:
    for depth in (0, SAFE_DEPTH + 1):
        with pytest.raises(ValueError, match=f"script_depth is {depth}; it must be 1 to"):
            Engine(Limits(script_depth=depth))
