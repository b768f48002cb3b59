"""The script that every write to a Redis goes through, and the keys it keeps there.

KEYS: fence, heartbeat, keys…
ARGV: term, index, what becomes of the heartbeat ("keep", "drop" or its new text), expected fence ("term:index", or "" for a refill),
      then two for each key: its value ("" deletes it) and its deadline in unix ms ("" for none).
Answers "ok", "stale <fence>" (a newer leader wrote) or "refill <fence>" (not what the caller wrote last); with the latter two nothing was written.
"""

from __future__ import annotations

FENCE = "countercluster:{fence}"
HEARTBEAT = "countercluster:{heartbeat}"
"""`term index time_ms`: whatever was acknowledged before that time, and all up to that index, is in this Redis as it was then or newer, or absent
from it. Not there while a Redis is being refilled."""
PREFIX = b"countercluster:{"

SCRIPT = """
local fence = redis.call('GET', KEYS[1])
local term, index = tonumber(ARGV[1]), tonumber(ARGV[2])
if fence then
  local colon = string.find(fence, ':', 1, true)
  local t, i = tonumber(string.sub(fence, 1, colon - 1)), tonumber(string.sub(fence, colon + 1))
  if t > term or (t == term and i > index) then return 'stale ' .. fence end
end
if ARGV[4] ~= '' and ARGV[4] ~= fence then return 'refill ' .. (fence or 'none') end
for n = 3, #KEYS do
  local value, deadline = ARGV[2 * n - 1], ARGV[2 * n]
  if value == '' then
    redis.call('DEL', KEYS[n])
  elseif deadline == '' then
    redis.call('SET', KEYS[n], value)
  else
    redis.call('SET', KEYS[n], value, 'PXAT', deadline)
  end
end
redis.call('SET', KEYS[1], ARGV[1] .. ':' .. ARGV[2])
if ARGV[3] == 'drop' then
  redis.call('DEL', KEYS[2])
elseif ARGV[3] ~= 'keep' then
  redis.call('SET', KEYS[2], ARGV[3])
end
return 'ok'
"""
