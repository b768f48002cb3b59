"""Scripts of limiters, as libraries send them, for the scenarios of mode `script`. The load
generator calls each with one key and the arguments 60000, 1000000000, 60 and 1, so that no call is
refused."""

from __future__ import annotations

import hashlib
from typing import Final

SCRIPTS: Final = {
    "fixed window": """
local count = redis.call('INCR', KEYS[1])
if tonumber(count) == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return {count, redis.call('PTTL', KEYS[1])}""",
    "gcra": """
local tat = tonumber(redis.call('GET', KEYS[1])) or 0
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval = math.floor(ARGV[3] * 1000000 / ARGV[2])
if tat < now then tat = now end
local new = tat + interval * ARGV[4]
if new - now > interval * (ARGV[1] + 1) then return {0, tat - now} end
redis.call('SET', KEYS[1], new, 'PX', math.ceil((new - now) / 1000) + 60000)
return {1, new - now}""",
}


def sha_of(script: str) -> str:
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
