"""Scripts in the log: one operation each, the same on every replica, bounded, never the end of a
node."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from counter_node.counters import batches, compiling, levels, scripts
from counter_node.counters import ops as o
from counter_node.counters.machine import Machine
from counter_node.counters.replies import OK, Failure
from counter_node.counters.script_table import LOADED, SENT, SENT_BYTES, TOO_MANY
from counter_node.resp.called import operation
from counter_node.script.engine import VERSION

from tests.support.unit.machine_log import Log

COUNT = b"return redis.call('incr', KEYS[1])"
NOSCRIPT = Failure(b"NOSCRIPT No matching script. Please use EVAL.")


def made(machine: Machine | None = None) -> Log:
    machine = machine or Machine()
    machine.operation = operation
    return Log(machine)


def eval_(text: bytes, *keys: bytes, flags: int = 0) -> Any:
    return [o.EVAL, flags, text, list(keys), [], None]


def sha(text: bytes) -> bytes:
    return hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()


def evalsha(text: bytes, *keys: bytes) -> Any:
    return eval_(sha(text), *keys, flags=scripts.BY_SHA)


def cool() -> None:
    """Nothing is compiled, as after a start."""
    compiling._found.clear()
    compiling._bytes = 0


@pytest.fixture
def cold() -> Iterator[None]:
    cool()
    yield
    cool()


def test_a_script_is_one_operation_and_counts_once_under_idmp() -> None:
    log = made()
    assert log.run(eval_(COUNT, b"k")) == [1]
    once = o.idmp_of(b"u", b"p", 1, eval_(COUNT, b"k"))
    assert log.run(once, once) == [2, 2]
    failing = o.idmp_of(b"u", b"p", 2, eval_(b"redis.call('incr', 'k') error('no')"))
    first, again = log.run(failing, failing)
    assert first == again
    assert b"no" in first
    assert log.run([o.GET, b"k"]) == [b"2"]


def test_every_kind_of_reply_is_kept_for_who_repeats() -> None:
    text = (
        b"redis.setresp(3) return {1, 'x', true, false, {double=1.5}, {big_number='12'},"
        b" {verbatim_string={format='txt', string='hi'}}, {set={a=true}}, {map={a=1}},"
        b" redis.status_reply('FINE\xff'), redis.error_reply('BAD x'),"
        b" {map={[1.2]='a', [1.7]='b', [true]='c', [1]='d'}}}"
    )
    log = made()
    once = o.idmp_of(b"u", b"p", 1, eval_(text))
    first, again = log.run(once, once)
    assert first == again
    assert list(map(type, first)) == list(map(type, again))
    assert len(first) == 12
    assert first[11] == again[11] == [1, b"d", 1, b"a", 1, b"b", True, b"c"]
    assert first[9] == b"FINE\xff"


def test_in_a_transaction_a_script_that_fails_takes_back_itself_alone() -> None:
    log = made()
    failing = eval_(b"redis.call('set', 'k', 9) redis.call('nope')")
    one, failed, value = log.run([o.MULTI, [b"k", failing, [o.GET, b"k"]]])[0]
    assert (one, value) == (1, b"1")
    assert isinstance(failed, Failure)


def test_an_error_that_is_returned_keeps_what_was_done() -> None:
    log = made()
    (reply,) = log.run(eval_(b"redis.call('incr', 'k') return redis.error_reply('MINE x')"))
    assert reply == Failure(b"MINE x")
    assert log.run([o.GET, b"k"]) == [b"1"]


def test_time_is_the_log_s_and_stands_still() -> None:
    log = made()
    log.append(batches.encode(batches.Calendar(1_700_000_000_000)))
    text = b"local a, b = redis.call('time'), redis.call('time') return {a[1], a[2], b[1], b[2]}"
    log.time_ms = 5_250
    assert log.run(eval_(text)) == [[b"1700000005", b"250000"] * 2]


# --- the table of scripts -------------------------------------------------------------------------


def test_a_loaded_script_and_one_of_eval_are_found_by_their_sum_also_after_a_snapshot() -> None:
    log = made()
    other = COUNT + b" --"
    assert log.run(evalsha(COUNT, b"k")) == [NOSCRIPT]
    assert log.run([o.SCRIPT_LOAD, COUNT]) == [sha(COUNT)]
    log.run(eval_(other, b"k"))
    copy = made(Machine.restore(log.machine.snapshot()))
    for each in (log, copy):
        asked = [o.SCRIPT_EXISTS, [sha(COUNT), sha(other), b"f" * 40]]
        assert each.machine.read([asked]) == [[1, 1, 0]]
        assert each.machine.counts()["scripts"] == 2
        assert each.run(evalsha(COUNT, b"k"), evalsha(other, b"k")) == [2, 3]
    dump = log.machine.dump()
    log.run([o.SCRIPT_FLUSH])
    assert Machine.restore(dump.finish()).counts()["scripts"] == 2
    assert log.run(evalsha(COUNT, b"k")) == [NOSCRIPT]
    assert log.machine.counts()["scripts"] == 0


def test_flushall_forgets_no_script() -> None:
    log = made()
    log.run([o.SCRIPT_LOAD, COUNT], [o.FLUSH])
    assert log.run(evalsha(COUNT, b"k")) == [1]


def test_of_scripts_of_eval_the_one_that_was_called_least_recently_goes_first() -> None:
    log = made()
    texts = [b"return %d" % n for n in range(SENT)]
    for text in texts:
        log.run(eval_(text))
    log.run(evalsha(texts[0]), eval_(b"return 'new'"))
    assert log.run(evalsha(texts[0])) == [0]
    assert log.run(evalsha(texts[1])) == [NOSCRIPT]
    assert log.machine.counts()["scripts"] == SENT
    copy = Machine.restore(log.machine.snapshot())
    assert copy.snapshot() == log.machine.snapshot()


def test_scripts_of_eval_are_bounded_in_bytes() -> None:
    log = made()
    for n in range(100):
        log.run(eval_(b"return %d --%s" % (n, b"x" * 16_000)))
    assert log.machine._scripts.table._sent_bytes <= SENT_BYTES
    assert 50 < log.machine.counts()["scripts"] < 70


def test_loaded_scripts_are_bounded_and_the_error_says_how() -> None:
    log = made()
    for n in range(LOADED):
        assert not isinstance(log.run([o.SCRIPT_LOAD, b"return %d" % n])[0], Failure)
    assert log.run([o.SCRIPT_LOAD, b"return 'more'"]) == [TOO_MANY]
    assert log.run([o.SCRIPT_LOAD, b"return 1"]) == [sha(b"return 1")]
    assert log.run([o.SCRIPT_FLUSH], [o.SCRIPT_LOAD, b"return 'more'"])[0] == OK


def test_scripts_count_for_the_bytes_of_the_state() -> None:
    log = made(Machine(max_bytes=20_000))
    before = log.machine.size_bytes
    text = b"return 1 --" + b"x" * 3_000
    assert log.run([o.SCRIPT_LOAD, text]) == [sha(text)]
    assert log.machine.size_bytes - before == 400 + 2 * len(text)
    assert log.run(eval_(text + b"y" * 9_000)) == [1]  # it runs, and is not kept
    assert log.run(evalsha(text + b"y" * 9_000)) == [NOSCRIPT]
    (refused,) = log.run([o.SCRIPT_LOAD, text + b"y" * 9_000])
    assert refused.startswith(b"OOM the counters take")


# --- levels ---------------------------------------------------------------------------------------


def test_below_its_level_a_script_is_refused_in_words_and_a_snapshot_has_no_scripts() -> None:
    refused = levels.too_new(eval_(COUNT, b"k"), levels.SCRIPTS_LEVEL - 1)
    assert refused is not None
    assert b"the command needs level 5" in refused
    assert levels.too_new([o.MULTI, [o.as_user(b"u", eval_(COUNT))]], 4) is not None
    assert levels.too_new(eval_(COUNT), levels.SCRIPTS_LEVEL) is None
    old = Machine(knows=levels.SCRIPTS_LEVEL - 1)
    assert old.read([[o.SCRIPT_EXISTS, [b"f" * 40]]]) == [[0]]
    newer, older = Machine().snapshot(), old.snapshot()
    assert len(msgspec.msgpack.decode(newer)) == len(msgspec.msgpack.decode(older)) + 1


def test_the_engine_s_version_is_that_of_the_level() -> None:
    """Another version of the engine, or of what scripts may call, is another level."""
    assert (levels.LEVEL, levels.SCRIPTS_LEVEL, VERSION) == (5, 5, 1)


# --- what no script does --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "broken",
    ["script.engine.first", "counters.scripts.from_script", "counters.scripts.to_script"],
)
@pytest.mark.parametrize("error", [KeyError, RecursionError, AssertionError, ZeroDivisionError])
def test_an_exception_of_the_engine_is_an_error_with_nothing_done(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception], broken: str
) -> None:
    log, other = made(), made()

    def fails(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(f"counter_node.{broken}", fails)
    text = b"redis.call('incr', 'k') redis.call('type', 'k') return {ok = 'x'}"
    (reply,) = log.run(eval_(text))
    assert reply == b"ERR the script engine failed; nothing of the script was done"
    assert other.run(eval_(text)) == [reply]
    assert other.machine.snapshot() == log.machine.snapshot()
    assert log.run([o.EXISTS, [b"k"]]) == [0]
    monkeypatch.undo()
    assert log.run(eval_(text), [o.GET, b"k"]) == [b"x", b"1"]


def test_the_end_of_memory_ends_the_node_and_answers_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr("counter_node.script.engine.first", fails)
    with pytest.raises(MemoryError):
        made().run(eval_(b"return 1"))


@pytest.mark.parametrize(
    ("text", "setting"),
    [(b"while true do redis.call('get', 'a') end", b"script_steps"),
    (b"for n = 1, 900 do redis.call('set', 'k' .. n, n) end", b"script_steps"),
    (b"for n = 1, 900 do redis.call('ping') end for n = 1, 900 do redis.call('ping') end",
     b"script_"),
    (b"local t = {} for n = 1, 3000 do t[n] = 'k' .. n end redis.call('del', unpack(t))",
     b"script_steps"),
    (b"for n = 1, 9 do redis.call('flushall') end", b"script_steps")],
)  # fmt: skip
def test_commands_are_bounded_by_what_they_name_and_change(text: bytes, setting: bytes) -> None:
    log = made()
    log.run(b"a")
    (reply,) = log.run(eval_(text))
    assert reply.startswith(b"ERR " + setting)
    assert log.run([o.DBSIZE]) == [1]


def test_listings_are_bounded_by_the_counters_there_are() -> None:
    log = made()
    log.run([o.MSET, [x for n in range(15_000) for x in (b"k%d" % n, 1)], False])
    assert len(log.run(eval_(b"return redis.call('keys', 'k1*')"))[0]) > 1_000
    assert b"script_steps" in log.run(eval_(b"for n = 1, 9 do redis.pcall('keys', 'x*') end"))[0]
    assert (
        b"script_steps"
        in log.run(eval_(b"for n=1,99 do redis.call('scan', 0, 'count', 9999) end"))[0]
    )


def test_the_scripts_of_a_transaction_are_bounded_together() -> None:
    log = made()
    long = b"for i = 1, 1500 do local x = i * 2 end return 1"
    replies = log.run([o.MULTI, [eval_(long)] * 40])[0]
    assert replies[0] == 1
    assert replies[-1] == scripts.TOO_MUCH
    assert log.run([o.MULTI, [eval_(long)]]) == [[1]], "the next one has all of it again"
    texts = [b"local a = 1 " * 70 + b"return %d" % n for n in range(40)]
    replies = log.run([o.MULTI, [eval_(text) for text in texts]])[0]
    assert replies[0] == 0
    assert replies[-1] == scripts.TOO_LONG
    assert log.run([o.MULTI, [eval_(texts[0])] * 40]) == [[0] * 40], "one script counts once"


@pytest.mark.usefixtures("cold")
def test_a_script_that_is_not_compiled_yet_is_compiled_in_a_slice_of_its_own() -> None:
    log = made()
    for wrap in (
        lambda op: op,
        lambda op: o.idmp_of(b"u", b"p", 1, op),
        lambda op: [o.MULTI, [op]],
    ):
        cool()
        log.number, log.index = log.number + 1, log.index + 1
        body = batches.encode_batch(log.session, log.number, [wrap(eval_(COUNT, b"k"))])
        payload = batches.stamp(log.time_ms, body)
        assert log.machine.begin(log.index, payload, lambda s, n: None) is None
        assert COUNT in compiling._found
        assert log.machine.unfinished
        assert log.machine.go_on() is not None


@pytest.mark.usefixtures("cold")
def test_what_was_compiled_before_changes_nothing_but_time() -> None:
    warm, log = made(), made()
    ops = [eval_(COUNT, b"k"), evalsha(COUNT, b"k"), [o.MULTI, [eval_(COUNT, b"k")] * 3]]
    expected = [warm.run(op) for op in ops]
    found = []
    for op in ops:
        cool()
        found += [log.run(op)]
    assert found == expected
    assert warm.machine.snapshot() == log.machine.snapshot()


@pytest.mark.usefixtures("cold")
def test_the_cache_of_compiled_scripts_is_bounded() -> None:
    for n in range(compiling.MOST + 50):
        compiling.compiled(b"return %d" % n)
    assert len(compiling._found) <= compiling.MOST
    assert compiling._bytes == sum(map(len, compiling._found)) <= compiling.MOST_BYTES
    assert isinstance(compiling.compiled(b"-" * 3_000_000), Failure)
    assert b"-" * 3_000_000 not in compiling._found


def test_heavy_scripts_end_a_slice() -> None:
    """Slices are charged for what a script did, so that the loop gets its turn between two."""
    log = made()
    heavy = eval_(b"for i = 1, 4000 do local x = i * 2 end")
    log.run(heavy)
    log.number, log.index = log.number + 1, log.index + 1
    body = batches.encode_batch(log.session, log.number, [heavy] * 6)
    slices, outcome = (
        1,
        log.machine.begin(log.index, batches.stamp(log.time_ms, body), lambda s, n: None),
    )
    while outcome is None:
        slices, outcome = slices + 1, log.machine.go_on()
    assert slices >= 5
