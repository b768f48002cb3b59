"""What the engine promises by itself: the same on every replica, errors with line and word, and
nothing but a reply or a ScriptError. What it shares with Redis is in test_same_as_redis.py."""

from __future__ import annotations

from typing import Any

import pytest
from counter_node.script import library
from counter_node.script.engine import VERSION, Engine
from counter_node.script.errors import (
    CompileError,
    FaultError,
    ScriptError,
    ShebangError,
    UnsupportedError,
)  # fmt: skip
from counter_node.script.replies import (
    BigNumber,
    Double,
    Failure,
    Map,
    Pairs,
    Set,
    Status,
    Verbatim,
)

ENGINE = Engine()


def run(source: str | bytes, *arguments: bytes, command: Any = None) -> Any:
    text = source if isinstance(source, bytes) else source.encode("latin-1")
    script = ENGINE.compile(text)
    return script.run([b"key:1"], list(arguments), command or (lambda words, protocol: len(words)))


def error(source: str, command: Any = None) -> bytes:
    with pytest.raises(ScriptError) as raised:
        run(source, command=command)
    return raised.value.text


def test_a_script_calls_commands_and_returns_its_reply() -> None:
    called = []

    def command(words: list[bytes], protocol: int) -> Any:
        called.append((words, protocol))
        return 1 if words[0] == b"INCR" else Status(b"OK")

    source = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
redis.setresp(3)
return {count, redis.call('SET', 'x', 2.5)}"""
    assert run(source, b"60", command=command) == [1, Status(b"OK")]
    assert called == [
        ([b"INCR", b"key:1"], 2),
        ([b"EXPIRE", b"key:1", b"60"], 2),
        ([b"SET", b"x", b"2.5"], 3),
    ]


@pytest.mark.parametrize(
    ("number", "text"),
    [("3", b"3"), ("-0", b"0"), ("0.1", b"0.1"), ("2^53", b"9007199254740992"),
    ("1e20", b"1e+20"), ("1/3", b"0.3333333333333333"), ("-1.5e-9", b"-1.5e-9"),
    ("123456789.125", b"123456789.125"), ("1e300", b"1e+300"), ("0.0001", b"0.0001"),
    ("12345678901234567890", b"12345678901234567000"), ("1/0", b"inf"), ("5e-324", b"5e-324")],
)  # fmt: skip
def test_a_number_goes_to_a_command_in_its_shortest_exact_form(number: str, text: bytes) -> None:
    """As Redis 7.2 and later do it; 7.0, with which the other tests compare, sends 17 digits."""
    assert run(f"return redis.call('X', {number})", command=lambda words, _: words[1]) == text


@pytest.mark.parametrize(
    ("reply", "seen"),
    [(5, b"number:5"), (b"x", b"string:x"), (None, b"boolean:false"), (Status(b"OK"), b"ok:OK"),
    ([1, [b"a", None]], b"number:1,table"), (Double(1.5), b"double:1.5"),
    (BigNumber(b"12"), b"big_number:12"), (Map({b"a": 1}), b"map:table"), (True, b"boolean:true"),
    (Set([b"a"]), b"set:table"), (Verbatim(b"txt:abc"), b"verbatim_string:table")],
)  # fmt: skip
def test_replies_of_commands_become_values(reply: Any, seen: bytes) -> None:
    source = """
local r = redis.call('X')
if type(r) ~= 'table' then return type(r) .. ':' .. tostring(r) end
if r[1] then return type(r[1]) .. ':' .. r[1] .. ',' .. type(r[2]) end
for k, v in pairs(r) do return k .. ':' .. (type(v) == 'table' and 'table' or tostring(v)) end"""
    assert run(source, command=lambda *_: reply) == seen


def test_null_is_nil_for_a_script_of_resp3() -> None:
    assert run("redis.setresp(3) return type(redis.call('X'))", command=lambda *_: None) == b"nil"


@pytest.mark.parametrize(
    ("source", "reply"),
    [("{double = 1.5}", Double(1.5)), ("{map = {a = 1}}", Pairs([b"a", 1])),
    ("{set = {a = true}}", Set([b"a"])), ("{big_number = '12'}", BigNumber(b"12")),
    ("{ok = 'FINE\\r\\nx'}", Status(b"FINE  x")), ("{err = 'BAD x'}", Failure(b"BAD x")),
    ("{verbatim_string = {format = 'txt', string = 'a'}}", Verbatim(b"txt:a")),
    ("{1, {2, {}}, nil, 3}", [1, [2, []]]), ("true", 1), ("false", None), ("nil", None)],
)  # fmt: skip
def test_values_become_replies(source: str, reply: Any) -> None:
    found = run(f"return {source}")
    assert found == reply
    assert type(found) is type(reply)


def test_a_table_is_walked_in_the_order_in_which_its_keys_came() -> None:
    source = """
local t = { z = 1, 'one', y = 2, 'two' }
t.x = 3; t.z = nil; t[10] = 4; t.w = 5; t.z = 6; t[3] = 'three'
local out = {}
for k in pairs(t) do out[#out + 1] = tostring(k) end
local k = next(t)
while k do out[#out + 1] = tostring(k); k = next(t, k) end
table.foreach(t, function(k) out[#out + 1] = tostring(k) end)
return table.concat(out, ' ') .. ' ' .. cjson.encode({ b = 1, a = 2 })"""
    once = b"1 2 3 z y x 10 w "
    assert run(source) == once * 3 + b'{"b":1,"a":2}'


def test_tables_have_numbers_instead_of_addresses_and_every_run_counts_from_one() -> None:
    source = """
local t, f = {}, function() end
return { tostring(t), tostring(f), tostring(redis.call), tostring(t), tostring(cjson.null) }"""
    seen = [b"table: 0x00000001", b"function: 0x00000002", b"function: 0x00000003",
            b"table: 0x00000001", b"userdata: 0x00000004"]  # fmt: skip
    assert run(source) == seen == run(source)


def test_a_table_that_was_printed_is_another_than_the_next_one() -> None:
    source = "local n = {} for i = 1, 9 do n[i] = tostring({}) end return n"
    assert run(source) == [b"table: 0x%08x" % number for number in range(1, 10)]


def test_nothing_of_a_run_is_there_in_the_next() -> None:
    script = ENGINE.compile(b"KEYS[2] = 'x' ARGV.n = 1 redis.setresp(3) return {#KEYS, true}")
    assert [script.run([b"a"], [], lambda *_: 1) for _ in range(2)] == [[2, True], [2, True]]
    assert run("return {#KEYS, true}") == [1, 1]


@pytest.mark.parametrize(
    ("source", "line", "word"),
    [("return 1\n\n= os", 3, None), ("local t = {}\nreturn setmetatable(t, {})", 2, "setmetatable"),
    ("return math.random()", 1, "math.random"), ("\nlocal m = math\nreturn _G", 3, "_G"),
    ("return string.dump(f)", 1, "string.dump"), ("local c = coroutine", 1, "coroutine"),
    ("return cmsgpack.pack(1)", 1, "cmsgpack"), ("loadstring('x')()", 1, "loadstring"),
    ("return redis.acl_check_cmd('get')", 1, "redis.acl_check_cmd")],
)  # fmt: skip
def test_what_the_engine_does_not_know_is_refused_by_line_and_word(
    source: str, line: int, word: str | None
) -> None:
    with pytest.raises(CompileError) as raised:
        ENGINE.compile(source.encode())
    assert raised.value.line == line
    assert b"user_script:%d: " % line in raised.value.text
    assert isinstance(raised.value, UnsupportedError) == (word is not None)
    if word is not None:
        assert f"'{word}' is not supported: ".encode() in raised.value.text


def test_every_word_that_is_refused_is_refused() -> None:
    for word in library.UNSUPPORTED:
        with pytest.raises(UnsupportedError):
            ENGINE.compile(f"return {word}".encode())


def test_a_refused_function_is_not_there_by_a_way_around_either() -> None:
    source = "local m, r = math, redis return { type(m.random), type(r.debug), type(m['floor']) }"
    assert run(source) == [b"nil", b"nil", b"function"]


@pytest.mark.parametrize(
    ("source", "words"),
    [("error({err = 'MY own'})", b"MY own script: %s, on @user_script:1."),
    ("\nerror('text')", b"ERR user_script:2: text script: %s, on @user_script:2."),
    ("error('text', 2)", b"ERR text script: %s, on @user_script:1."),
    ("error({})", b"ERR table: 0x00000001 script: %s, on @user_script:1."),
    ("error(nil)", b"ERR nil script: %s, on @user_script:1."),
    ("return redis.call('x\\r\\ny')", b"ERR no  x script: %s, on @user_script:1.")],
)  # fmt: skip
def test_an_error_names_the_script_and_the_line(source: str, words: bytes) -> None:
    sha = ENGINE.compile(source.encode()).sha
    assert error(source, command=lambda *_: Failure(b"ERR no\r\nx")) == words % sha


def test_flags_of_the_first_line() -> None:
    script = ENGINE.compile(b"#!lua flags=no-writes,allow-oom\nreturn error('x')")
    assert script.flags == {"no-writes", "allow-oom"}
    with pytest.raises(ScriptError, match="user_script:2: x"):
        script.run([], [], lambda *_: 1)
    for line in (b"#!lua", b"#!python\n", b"#!lua flags=wrong\n", b"#!lua else=1\n", b"#!\n"):
        with pytest.raises(ShebangError):
            ENGINE.compile(line)


def test_a_failure_of_python_is_one_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor can a script catch it: `pcall` would make its own text of it."""
    for failure in (RecursionError, OverflowError, KeyError, AttributeError, AssertionError):

        def fails(words: list[bytes], protocol: int, failure: Any = failure) -> Any:
            raise failure("of this machine")

        assert error("return pcall(redis.call, 'x')", command=fails) == FaultError().text
        monkeypatch.setattr("counter_node.script.engine.tokens", lambda *_, f=failure: fails([], 2))
        with pytest.raises(FaultError):
            ENGINE.compile(b"return 1")
        monkeypatch.undo()


def test_the_end_of_memory_is_no_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is another on each replica, so a reply would part them: the node ends."""

    def fails(*_: Any) -> Any:
        raise MemoryError

    with pytest.raises(MemoryError):
        ENGINE.compile(b"return pcall(redis.call, 'x')").run([], [], fails)
    assert ENGINE.compile(b"return 7").run([], [], fails) == 7
    monkeypatch.setattr("counter_node.script.engine.tokens", fails)
    with pytest.raises(MemoryError):
        ENGINE.compile(b"return 1")


def test_the_engine_says_its_version() -> None:
    assert VERSION == 1


def test_a_compiled_program_names_nothing_of_python() -> None:
    """Not even where a script uses Python's words."""
    for name in ("__import__", "open", "eval", "exec", "B", "chunk", "first", "None", "print"):
        words = b"nonexistent global variable '%s'" % name.encode()
        assert words in error(f"return {name}")
    names = "None, True, B, T, va, v1, t1, f1 = 1, 2, 3, 4, 5, 6, 7, 8"
    assert run(f"local {names} return {{None, True, B, T, va, v1, t1, f1}}") == list(range(1, 9))
    assert run("local t = {['__class__'] = 1} return {t.__class__, t.arr, #t}") == [1]
