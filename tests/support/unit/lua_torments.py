"""Scripts that take as much as they get: for the tests of budgets, and for the measurement in
docs/internals/scripts.md (`python -m tests.support.unit.lua_torments`)."""

from __future__ import annotations

import argparse
import time
from functools import partial
from typing import Any

from counter_node.script.engine import Engine
from counter_node.script.errors import ScriptError

ENDLESS = {
    "empty loop": b"while true do end",
    "arith": b"local a=1 while true do a = a * 1.5 + 2 - a / 3 end",
    "string arith": b"local a='123' while true do local b = a + '456' end",
    "index": b"local t={} for i=1,100 do t[i]=i end while true do local x=t[5]+t[6] end",
    "field": b"local t={a=1} while true do t.a = t.a + 1 end",
    "append": b"local t={} while true do t[#t+1]=1 end",
    "newkeys": b"local t={} local i=0.5 while true do i=i+1 t[i]=1 end",
    "strkeys": b"local t={} local i=0 while true do i=i+1 t['k'..i]=1 end",
    "concat": b"local s='' while true do s=s..'x' end",
    "concat big": b"local s=string.rep('x',1000) while true do local q=s..s end",
    "call": b"local function f(a) return a end while true do f(1) end",
    "call deep": (
        b"local function f(a) if a > 0 then return f(a-1) end return 0 end while true do f(40) end"
    ),
    "closure": b"while true do local x=1 local f=function() x=x+1 return x end f() end",
    "vararg": (
        b"local t={} for i=1,7000 do t[i]=i end local function f(...) return "
        b"select('#',...) end while true do f(unpack(t)) end"
    ),
    "select": (
        b"local function f(...) while true do local x=select(200,...) end end local t={} "
        b"for i=1,200 do t[i]=i end f(unpack(t))"
    ),
    "pcall": b"while true do pcall(error,'x') end",
    "pcall nest": (
        b"local function f(n) if n==0 then error('x') end return pcall(f,n-1) end while "
        b"true do f(20) end"
    ),
    "tostring": b"while true do local s=tostring(1.5) end",
    "tonumber": b"while true do local s=tonumber('123.5') end",
    "tonumber long": b"local s=string.rep('1',100000) while true do local x=tonumber(s) end",
    "arith long": b"local s=string.rep('1',100) while true do local x=s+1 end",
    "format": b"while true do local s=string.format('%5.2f %s %d',1.5,'x',3) end",
    "format99": b"while true do local s=string.format('%99.99f',1e300) end",
    "find": b"local s=string.rep('a',1000) while true do s:find('a-b') end",
    "find plain": (
        b"local s=string.rep('a',29000) local w=string.rep('a',50)..'b' while true do "
        b"s:find(w,1,true) end"
    ),
    "find plain 1": b"local s=string.rep('a',900000) while true do s:find('b',1,true) end",
    "gsub": b"local s=string.rep('a',1000) while true do s:gsub('a','b') end",
    "gsub fn": (
        b"local s=string.rep('a',1000) while true do s:gsub('a',function(x) return x end) end"
    ),
    "evil pattern": b"local s=string.rep('a',30) while true do s:find('a*a*a*a*a*a*a*a*b') end",
    "set pattern": (
        b"local s=string.rep('a',30) while true do s:find('['..string.rep('b-c',200)..']+') end"
    ),
    "sort": b"local t={} for i=1,2000 do t[i]=(i*7919)%2003 end while true do table.sort(t) end",
    "sort fn": (
        b"local t={} for i=1,2000 do t[i]=(i*7919)%2003 end while true do "
        b"table.sort(t,function(a,b) return a<b end) end"
    ),
    "concat table": (
        b"local t={} for i=1,2000 do t[i]=i end while true do local s=table.concat(t,',') end"
    ),
    "insert front": b"local t={} while true do table.insert(t,1,1) end",
    "remove front": b"local t={} for i=1,3000 do t[i]=i end while true do table.remove(t,1) end",
    "pairs": (
        b"local t={} for i=1,1000 do t['k'..i]=i end while true do for k,v in pairs(t) do end end"
    ),
    "pairs break": (
        b"local t={} for i=1,1000 do t['k'..i]=i end while true do for k,v in pairs(t) do "
        b"break end end"
    ),
    "next": (
        b"local t={} for i=1,1000 do t['k'..i]=i end while true do local k=next(t) while "
        b"k do k=next(t,k) end end"
    ),
    "next insert": b"local t={} local i=0 while true do i=i+1 t['k'..i]=i next(t,'k1') end",
    "json enc": b"local t={} for i=1,100 do t['k'..i]=i end while true do cjson.encode(t) end",
    "json dec": b'local s=\'[1,2,3,{"a":[true,null,"x"]}]\' while true do cjson.decode(s) end',
    "json str": b"local s=string.rep('/',10000) while true do cjson.encode(s) end",
    "json strs": (
        b"local s='\"'..string.rep('\\\\u0041',1000)..'\"' while true do cjson.decode(s) end"
    ),
    "sha1": b"local s=string.rep('x',900000) while true do redis.sha1hex(s) end",
    "sha1 small": b"while true do redis.sha1hex('x') end",
    "call cmd": b"while true do redis.call('incr','k') end",
    "pow": b"local a=1.1 while true do a=1.1^2.5 end",
    "exp": b"while true do math.exp(1.5) end",
    "powint": b"while true do local a=3^40 end",
    "eq long": (
        b"local a=string.rep('x',400000) local b=string.rep('x',400000) while true do "
        b"local q=a==b end"
    ),
    "lt long": (
        b"local a=string.rep('x',400000) local b=string.rep('x',400000) while true do "
        b"local q=a<b end"
    ),
    "key long": (
        b"local a=string.rep('x',400000) local b=string.rep('x',400000) local t={[a]=1} "
        b"while true do local q=t[b] end"
    ),
    "upper": b"local a=string.rep('x',1000) while true do a:upper() end",
    "byte": b"local a=string.rep('x',7000) while true do a:byte(1,-1) end",
    "rev": b"local a=string.rep('x',100) while true do a:reverse() end",
    "method": b"local a='x' while true do a:len() end",
    "maxn": b"local t={} for i=1,1000 do t['k'..i]=i end while true do table.maxn(t) end",
    "unpack": b"local t={} for i=1,7000 do t[i]=i end while true do local a=unpack(t) end",
    "reply list": b"local t={} for i=1,10000 do t[i]=i end return t",
    "reply nest": b"local t={} for i=1,50 do t={t,t} end return t",
    "constructor": b"while true do local t={1,2,3,4,5,6,7,8,9,10} end",
    "record": b"while true do local t={a=1,b=2,c=3} end",
    "holes": (
        b"local t={} for i=1,10000 do t[i]=i end for i=1,9999 do t[i]=nil end while true "
        b"do for k in pairs(t) do break end end"
    ),
    "and or": b"local a,b,c=1,false,nil while true do local x = a and b or c or a end",
    "foreach": b"local t={1,2,3} while true do table.foreach(t,function() end) end",
    "concat many": b"while true do local s = 'a'..1 ..'b'..2 ..'c'..3 end",
    "gmatch": b"local s=string.rep('ab ',300) while true do for w in s:gmatch('%w+') do end end",
    "capture": (
        b"local s=string.rep('a',32) while true do "
        b"s:match('(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)') end"
    ),
    "strsub": b"local s=string.rep('a',32) while true do local q=s:sub(2,5) end",
}
"""None ends by itself."""


def _as_long_as_may_be(unit: bytes, tokens: int, before: bytes = b"", after: bytes = b"") -> bytes:
    return before + unit * (1_490 // tokens) + after


LONG_SOURCES = {
    "assignments": _as_long_as_may_be(b"a.b=1 ", 5),
    "calls": _as_long_as_may_be(b"f(a) ", 4),
    "calls of a few bytes": _as_long_as_may_be(b"f() ", 3),
    "functions": _as_long_as_may_be(b"do local f=function() end end ", 9),
    "closures": _as_long_as_may_be(b"for i=1,2 do f(function() return i end) end ", 16),
    "strings": _as_long_as_may_be(b"'x',", 2, b"return {", b"}"),
    "records": _as_long_as_may_be(b"x=1,", 4, b"return {", b"}"),
    "ifs": _as_long_as_may_be(b"if KEYS then KEYS=1 end ", 7),
    "loops": _as_long_as_may_be(b"for i=1,2 do end ", 8),
    "whiles": _as_long_as_may_be(b"while KEYS do end ", 4),
    "commands": _as_long_as_may_be(b"redis.call('incr',KEYS[1]) ", 11),
    "tables": _as_long_as_may_be(b"f{} ", 3),
    "concatenation": _as_long_as_may_be(b"..'x'", 2, b"return 'x'"),
    "and": _as_long_as_may_be(b" and KEYS", 2, b"if KEYS", b" then end"),
    "methods": _as_long_as_may_be(b"KEYS:a() ", 5),
    "sums": _as_long_as_may_be(b"f(1+KEYS*2) ", 8),
    "locals": _as_long_as_may_be(b"do local a,b,c,d,e,f end ", 14),
    "elseif": _as_long_as_may_be(b" elseif KEYS then", 3, b"if KEYS then", b" end"),
    "brackets": _as_long_as_may_be(b"f(" + b"(" * 30 + b"1" + b")" * 30 + b") ", 64),
    "nested tables": _as_long_as_may_be(b"f" + b"{" * 30 + b"}" * 30 + b" ", 61),
    "nested functions": _as_long_as_may_be(b"f" + b"(function() " * 9 + b"end)" * 9 + b" ", 64),
    "powers": _as_long_as_may_be(b"f(2^2^2^2^2^2^2) ", 16),
    "choices": _as_long_as_may_be(b"f(" + b"KEYS or " * 10 + b"1) ", 24),
    "escapes": b"return '" + b"\\n" * 8_000 + b"'",
    "lines": b"\n" * 16_384,
    "a comment": b"--" + b"x" * 16_000,
    "a string": b"return '" + b"x" * 16_000 + b"'",
    "signs that are none": b"@" * 16_000,
}


def measure() -> None:
    """Milliseconds of CPU, the best of three: what holds the loop longest comes first."""

    def nothing(words: list[bytes], protocol: int) -> Any:
        return 1

    def best(act: Any) -> tuple[float, str]:
        least, said = 1e9, ""
        for _ in range(3):
            begin = time.thread_time()
            try:
                act()
                said = "done"
            except ScriptError as error:
                said = error.text.decode()[:60]
            least = min(least, time.thread_time() - begin)
        return 1_000 * least, said

    engine = Engine()
    rows = []
    for name, source in ENDLESS.items():
        script = engine.compile(source)
        rows.append((*best(partial(script.run, [b"k"], [], nothing)), name))
    for name, source in LONG_SOURCES.items():
        rows.append((*best(partial(engine.compile, source)), f"compiling {name}"))
    for milliseconds, said, name in sorted(rows, reverse=True):
        print(f"{milliseconds:6.1f} ms  {name}: {said}")


if __name__ == "__main__":
    argparse.ArgumentParser(
        prog="tests.support.unit.lua_torments", description="What holds the loop longest."
    ).parse_args()
    measure()
