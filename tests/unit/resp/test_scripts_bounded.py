"""Whatever a script makes is counted before it is made. Scripts of one line ended every
node, and each of them again at its start, as the script was in the log."""

from __future__ import annotations

import time

import pytest
from counter_node.counters import ops as o
from counter_node.replica.bundles import MOST_SCRIPTS, not_too_heavy

from tests.support.local import LocalServer

MIB = b"x" * 900_000
SCRIPTS = {
    "keys of maps double": b"local t={'\\\\'} for i=1,34 do t={map={[t]=t}} end return t",
    "a text again and again": b"local t={} for i=1,1900 do t[i]=ARGV[1] end return t",
    "made here": b"local s=string.rep('x',900000) local t={} for i=1,1900 do t[i]=s end return t",
    "statuses": b"local v={ok=ARGV[1]} local t={} for i=1,1500 do t[i]=v end return t",
    "errors": b"local v={err=ARGV[1]} local t={} for i=1,1500 do t[i]=v end return t",
    "big numbers": b"local v={big_number=ARGV[1]} local t={} for i=1,900 do t[i]=v end return t",
    "verbatim": b"local v={verbatim_string={format='txt',string=ARGV[1]}} "
    b"local t={} for i=1,900 do t[i]=v end return t",
    "keys of a set": b"local t={} for i=1,900 do t[i]={set={[ARGV[1]]=true}} end return t",
    "places of errors": b"local s=ARGV[1] local t={} for i=1,600 do "
    b"local ok,e=pcall(function() error(s) end) t[i]=e end return #t",
    "patterns": b"for i=1,10 do redis.call('SCAN','0','MATCH',string.rep('?',60000)..i) end "
    b"return 1",
    "many patterns": b"for i=1,99 do redis.call('KEYS',string.rep('?',1000)..i) end return 1",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_that_makes_much_is_refused_before_it_does(name: str) -> None:
    client = LocalServer().connect()
    start = time.process_time()
    for wrap in ([], [b"IDMP", b"p", b"1"]):
        reply = client.command(*wrap, b"EVAL", SCRIPTS[name], b"0", MIB)
        assert reply.startswith(b"-ERR "), reply[:200]
        assert len(reply) < 5_000
    assert client.command(b"DBSIZE") == b":0\r\n"
    assert time.process_time() - start < 5, "hangs are meant; the first took minutes"


def test_a_text_counts_as_often_as_it_is_in_the_reply() -> None:
    text = b"local s=string.rep('x',1000) local t={} for i=1,%d do t[i]=s end return t"
    client = LocalServer().connect()
    assert len(client.command(b"EVAL", text % 262, b"0")) > 262_000
    assert b"script_reply_bytes is 262144" in client.command(b"EVAL", text % 263, b"0")


def test_the_replies_of_one_transaction_are_bounded_together() -> None:
    client = LocalServer().connect()
    client.command(b"MULTI")
    for _ in range(30):
        client.command(b"EVAL", b"return string.rep('x', 200000)", b"0")
    reply = client.command(b"EXEC")
    assert reply.count(b"more than 1048576 bytes in their replies") == 24
    assert len(reply) < 1_500_000


def test_so_many_scripts_and_no_more_are_in_one_batch() -> None:
    script = [o.EVAL, 0, b"return 1", [], [], None]
    wrapped = [o.IDMP, b"p", 1, [o.MULTI, [b"k", script]]]
    for op in (script, wrapped):
        assert not_too_heavy([b"k", *[op] * 200]) == 1 + MOST_SCRIPTS
        assert not_too_heavy([[o.MULTI, [op] * 200]]) == 1, "one alone is never parted"
    assert not_too_heavy([[o.INCRBY, b"k", 1]] * 200) == 200
