"""Scripts that the simulator's clients send. Which request is one follows from its number, so that
they take nothing from the run's random numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

from counter_node.counters import ops as o
from counter_node.counters.scripts import BY_SHA

COUNT: Final = b"""
local before = tonumber(redis.call('get', KEYS[1]) or '0')
local now = redis.call('incr', KEYS[1])
if now ~= before + 1 then error('not one more') end
return now"""
FAILS: Final = b"""
redis.call('incr', KEYS[1])
redis.pcall('set', KEYS[1], 7, 'px', 50)
redis.pcall('incr', 'script:made')
redis.call('del', KEYS[1])
error('taken back')"""
TAKEN_BACK: Final = b"ERR user_script:6: taken back"
MANY: Final = b"""
for place, name in ipairs(KEYS) do
  redis.pcall('incr', name)
  if place % 3 == 0 then redis.pcall('pexpire', name, ARGV[1]) end
  if place % 4 == 0 then redis.call('del', KEYS[place - 1]) end
end
if #KEYS % 2 == 0 then error('taken back') end
return redis.call('time')"""
"""Of many counters: it makes, moves and deletes them, and fails every other time."""


def count(key: bytes) -> Any:
    return [o.EVAL, 0, COUNT, [key], [], None]


def count_by_sha(key: bytes) -> Any:
    sha = hashlib.sha1(COUNT, usedforsecurity=False).hexdigest().encode()
    return [o.EVAL, BY_SHA, sha, [key], [], None]


def fails(key: bytes) -> Any:
    return [o.EVAL, 0, FAILS, [key], [], None]


def many(keys: Sequence[bytes], ms: int) -> Any:
    return [o.EVAL, 0, MANY, list(keys), [b"%d" % ms], None]
