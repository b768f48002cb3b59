"""The script that every write to a Redis goes through, and the keys it keeps there.

The fence tells who wrote last: `history:term:index`, or `term:index` of a cluster below level 4,
which has no histories (counters/history.py). Within a history a later term and index wins. Between
histories the one that came out of the other wins, wherever the other had got to: after RAFT.RECOVER
a survivor's numbers may be smaller than those of the lost ones. Who finds a history that it did not
come out of writes nothing: that is a newer one, or another cluster's.

KEYS: fence, heartbeat, keys… ARGV: term, index, what becomes of the heartbeat ("keep", "drop" or
its new text), expected fence ("" for a refill), history ("" for none), the
      histories before it with a comma behind each; then two for each key: its value ("" deletes it)
      and its deadline in unix ms ("" for none).
Answers "ok", "stale <fence>" (a newer leader wrote), "foreign <fence>" (of a history that did not
lead here) or "refill <fence>" (not what the caller wrote last); with the latter three nothing was
written."""

from __future__ import annotations

FENCE = "countercluster:{fence}"
HEARTBEAT = "countercluster:{heartbeat}"
"""`term index time_ms`: whatever was acknowledged before that time, and all up to that index, is in
this Redis as it was then or newer, or absent from it. Not there while a Redis is being refilled."""
PREFIX = b"countercluster:{"

SCRIPT = """
local fence = redis.call('GET', KEYS[1])
local term, index, history = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[5]
local mine = ARGV[1] .. ':' .. ARGV[2]
if history ~= '' then mine = history .. ':' .. mine end
if fence then
  local h, t, i = string.match(fence, '^(%x+):(%d+):(%d+)$')
  if not h then
    h = ''
    t, i = string.match(fence, '^(%d+):(%d+)$')
  end
  t, i = tonumber(t or 0), tonumber(i or 0)
  if h == history then
    if t > term or (t == term and i > index) then return 'stale ' .. fence end
  elseif h ~= '' and not string.find(ARGV[6], h .. ',', 1, true) then
    return 'foreign ' .. fence
  end
end
if ARGV[4] ~= '' and ARGV[4] ~= fence then return 'refill ' .. (fence or 'none') end
for n = 3, #KEYS do
  local value, deadline = ARGV[2 * n + 1], ARGV[2 * n + 2]
  if value == '' then
    redis.call('DEL', KEYS[n])
  elseif deadline == '' then
    redis.call('SET', KEYS[n], value)
  else
    redis.call('SET', KEYS[n], value, 'PXAT', deadline)
  end
end
redis.call('SET', KEYS[1], mine)
if ARGV[3] == 'drop' then
  redis.call('DEL', KEYS[2])
elseif ARGV[3] ~= 'keep' then
  redis.call('SET', KEYS[2], ARGV[3])
end
return 'ok'
"""
