"""Scripts with what those of limiters use, in the ways that libraries do: fixed and sliding
windows, buckets, GCRA, locks, counters with a deadline. Each is run with all its argument lists in
turn, so that it meets the state that it made."""

from __future__ import annotations

from typing import NamedTuple


class Limiter(NamedTuple):
    name: str
    source: bytes
    keys: list[bytes]
    runs: list[list[bytes]]


def _script(name: str, keys: str, runs: str, source: str) -> Limiter:
    """`runs` has an argument list for each part between semicolons."""
    lists = [part.split() for part in runs.encode().split(b";")]
    return Limiter(name, source.encode(), keys.encode().split(), lists)


LIMITERS = [
    _script("fixed window", "w", "2 60;2 60;2 60", """
local count = redis.call('INCRBY', KEYS[1], 1)
if tonumber(count) == 1 then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
if count > tonumber(ARGV[1]) then return {0, count, redis.call('TTL', KEYS[1])} end
return {1, count, redis.call('TTL', KEYS[1])}"""),
    _script("points with a block", "p", "3 5 60;3 5 60;3 5 60", """
redis.call('set', KEYS[1], 0, 'EX', ARGV[3], 'NX')
local consumed = redis.call('incrby', KEYS[1], ARGV[1])
local ttl = redis.call('pttl', KEYS[1])
if ttl == -1 then
  redis.call('expire', KEYS[1], ARGV[3])
  ttl = 1000 * ARGV[3]
end
return {consumed, ttl > 59000, consumed > tonumber(ARGV[2])}"""),
    _script("window or reset", "r", "60000 1;60000 0;60000 1", """
local timeToExpire = redis.call("PTTL", KEYS[1])
if timeToExpire <= 0 or ARGV[2] == "0" then
  redis.call("SET", KEYS[1], 1, "PX", tonumber(ARGV[1]))
  return { 1, tonumber(ARGV[1]) }
end
local totalHits = redis.call("INCR", KEYS[1])
return { totalHits, timeToExpire > 0 }"""),
    _script("peek without a value", "none there", "1", """
local a, b = redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])
if a == false then a = 0 end
return { tonumber(a), b, (redis.call('GET', KEYS[2]) or 'nothing') }"""),
    _script("increments with a deadline", "k", "5 100;-2 100;7 100", """
local amount = tonumber(ARGV[1])
if redis.call('EXISTS', KEYS[1]) == 1 then return redis.call('INCRBY', KEYS[1], amount) end
local value = redis.call('INCRBY', KEYS[1], amount)
redis.call('PEXPIRE', KEYS[1], ARGV[2] * 1000)
return value"""),
    _script("quota by subtraction", "q", "10 3;10 3;10 3;10 3;10 3", """
local left = redis.call('ttl', KEYS[1])
if left < 0 then
  redis.call('set', KEYS[1], ARGV[1] - ARGV[2], 'EX', 60)
  return {ARGV[1] - ARGV[2], 60}
end
return {redis.call('incrby', KEYS[1], 0 - ARGV[2]), left}"""),
    _script("compare and set", "c", "0 5;5 9;5 11", """
local now = redis.call('get', KEYS[1])
if (now or '0') ~= ARGV[1] then return 0 end
redis.call('setex', KEYS[1], 60, ARGV[2])
return 1"""),
    _script("two windows and interpolation", "s:1 s:0", "10 60 15.5;10 60 30;10 60 59", """
local function weight(part, whole) return math.floor((whole - part) / whole * 1000) / 1000 end
local current = tonumber(redis.call('GET', KEYS[1]) or "0")
local before = tonumber(redis.call('GET', KEYS[2]) or "8")
local share = weight(tonumber(ARGV[3]), tonumber(ARGV[2]))
local estimate = math.floor(before * share) + current
if estimate >= tonumber(ARGV[1]) then return { -1, tostring(share) } end
current = redis.call('INCRBY', KEYS[1], 1)
if current == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[2] * 2 * 1000 + 1000) end
return { ARGV[1] - estimate - 1, tostring(share) }"""),
    _script("windows that are renamed", "a b", "60;60;60", """
local current = tonumber(redis.call('GET', KEYS[1]))
if current and current >= 2 then
  redis.call('RENAME', KEYS[1], KEYS[2])
  redis.call('SET', KEYS[1], 0, 'PX', ARGV[1] * 1000)
end
return { redis.call('INCRBY', KEYS[1], 1), redis.call('EXISTS', KEYS[2]) }"""),
    _script("gcra", "g", "5 10 60 1 1000;5 10 60 4 1000.5;5 10 60 3 1001;5 10 60 1 1040", """
local rate_key, burst, rate, period = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local cost, now = tonumber(ARGV[4]), tonumber(ARGV[5])
local interval = period / rate
local increment, offset = interval * cost, interval * burst
local tat = redis.call("GET", rate_key)
if not tat then tat = now else tat = tonumber(tat) end
tat = math.max(tat, now)
local new_tat = tat + increment
local diff = now - (new_tat - offset)
local remaining = diff / interval
if remaining < 0 then
  return { 0, 0, tostring(diff * -1), tostring(tat - now) }
end
local reset_after = new_tat - now
if reset_after > 0 then
  redis.call("SET", rate_key, tostring(new_tat), "EX", math.ceil(reset_after))
end
return { cost, math.floor(remaining), tostring(-1), tostring(reset_after) }"""),
    _script("clock of the server", "t", "1", """
redis.replicate_commands()
local time = redis.call('TIME')
local now = (time[1] - 1483228800) + (time[2] / 1000000)
local seconds = tonumber(time[1])
return { now > 100000000, seconds == math.floor(seconds), #time, type(time[1]) }"""),
    _script("bucket in two keys", "b.tokens b.time", "0.5 5 100 2;0.5 5 101 2;0.5 5 102 2", """
local rate, capacity = tonumber(ARGV[1]), tonumber(ARGV[2])
local now, requested = tonumber(ARGV[3]), tonumber(ARGV[4])
local ttl = math.floor(capacity / rate * 2)
local last_tokens = tonumber(redis.call("get", KEYS[1]))
if last_tokens == nil then last_tokens = capacity end
local last_refreshed = tonumber(redis.call("get", KEYS[2]))
if last_refreshed == nil then last_refreshed = 0 end
local delta = math.max(0, now - last_refreshed)
local filled = math.min(capacity, last_tokens + (delta * rate))
local allowed = filled >= requested
local new_tokens, allowed_num = filled, 0
if allowed then
  new_tokens = filled - requested
  allowed_num = 1
end
if ttl > 0 then
  redis.call("setex", KEYS[1], ttl, new_tokens)
  redis.call("setex", KEYS[2], ttl, now)
end
return { allowed_num, new_tokens }"""),
    _script("bucket in a hash", "h", "5 2 100;5 2 101;5 9 102", """
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(bucket[1]), tonumber(bucket[2])
if not tokens or not at then tokens, at = tonumber(ARGV[1]), tonumber(ARGV[3]) end
tokens = math.min(tonumber(ARGV[1]), tokens + (ARGV[3] - at) * 0.5)
local ok = tokens >= tonumber(ARGV[2])
if ok then tokens = tokens - ARGV[2] end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', ARGV[3])
redis.call('EXPIRE', KEYS[1], 60)
return cjson.encode({ allowed = ok })"""),
    _script("duration in a hash", "d", "10 2 100;10 2 101;10 2 102;10 2 111", """
local function reset()
  redis.call('HMSET', KEYS[1], 'start', ARGV[3], 'end', ARGV[3] + ARGV[1], 'count', 1)
  return redis.call('EXPIRE', KEYS[1], ARGV[1] * 2)
end
if redis.call('EXISTS', KEYS[1]) == 0 then return {reset(), ARGV[3] + ARGV[1], ARGV[2] - 1} end
if ARGV[3] >= redis.call('HGET', KEYS[1], 'start')
  and ARGV[3] <= redis.call('HGET', KEYS[1], 'end') then
  return {
    tonumber(redis.call('HINCRBY', KEYS[1], 'count', 1)) <= tonumber(ARGV[2]),
    redis.call('HGET', KEYS[1], 'end'),
    ARGV[2] - redis.call('HGET', KEYS[1], 'count')
  }
end
return {reset(), ARGV[3] + ARGV[1], ARGV[2] - 1}"""),
    _script("log in a list", "l", "100 2 1;101 2 1;102 2 1;300 2 1", """
local timestamp, limit, amount = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local entry = redis.call('lindex', KEYS[1], limit - amount)
if entry and tonumber(entry) >= timestamp - 60 then return false end
local entries = {}
for i = 1, amount do entries[i] = timestamp end
for i = 1, #entries, 5000 do
  redis.call('lpush', KEYS[1], unpack(entries, i, math.min(i + 4999, #entries)))
end
redis.call('ltrim', KEYS[1], 0, limit - 1)
redis.call('expire', KEYS[1], 60)
return true"""),
    _script("log in a sorted set", "z", "100 2;101 2;102 2;200 2", """
local now, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 60)
local current = redis.call('ZCARD', KEYS[1])
if current < limit then
  redis.call('ZADD', KEYS[1], now, now .. ':' .. current)
  redis.call('PEXPIRE', KEYS[1], 60000)
  return { 1, limit - current - 1 }
end
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return { 0, oldest[2] + 60 - now }"""),
    _script("several keys in one go", "m1 m2 m3", "1 2 60;1 2 60;1 2 60", """
local results, blocked = {}, false
for index, key in ipairs(KEYS) do
  local value = redis.call('INCRBY', key, ARGV[1])
  if value == tonumber(ARGV[1]) then redis.call('EXPIRE', key, ARGV[3]) end
  results[#results + 1] = value
  blocked = blocked or value > tonumber(ARGV[2])
end
table.insert(results, blocked and 'blocked' or 'open')
return results"""),
    _script("lock with a token", "lock", "me 1000;me 1000;you 1000", """
if redis.call('set', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 'OK' end
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end
return {err = 'BUSY held by ' .. redis.call('get', KEYS[1])}"""),
    _script("errors that are caught", "e", "abc;5;abc", """
redis.call('SET', KEYS[1], ARGV[1])
local reply = redis.pcall('INCR', KEYS[1])
if type(reply) == 'table' and reply['err'] then
  return redis.error_reply('WRONG ' .. string.sub(reply.err, 1, 12))
end
return redis.status_reply('FINE')"""),
    _script("state in JSON", "j", "3;4;bad", """
local raw = redis.call('GET', KEYS[1])
local state = raw and cjson.decode(raw) or { hits = {}, total = 0 }
local amount = tonumber(ARGV[1])
if not amount then return redis.error_reply('ERR amount') end
state.hits[#state.hits + 1] = amount
state.total = state.total + amount
redis.call('SET', KEYS[1], cjson.encode(state.hits))
redis.call('SET', KEYS[1], '{"hits":' .. redis.call('GET', KEYS[1]) .. ',"total":'
  .. state.total .. '}')
return { state.total, #state.hits, redis.call('GET', KEYS[1]) }"""),
    _script("words that are taken apart", "x", "a=1,b=22,c=x;=;k=v", r"""
local found = {}
for key, value in string.gmatch(ARGV[1], "(%w+)=(%w+)") do
  found[#found + 1] = string.format("%s:%05.1f", key, tonumber(value) or -1)
end
local text, count = ARGV[1]:gsub("%d", function(d) return tonumber(d) + 1 end)
return { table.concat(found, "|"), text, count, ARGV[1]:find("=", 1, true) }"""),
    _script("rounds with pairs", "y", "1", """
local totals = { a = 1, b = 2, c = 3, [10] = 4, 5 }
local sum, names = 0, {}
for name, amount in pairs(totals) do
  sum = sum + amount
  if type(name) == 'string' then table.insert(names, name) end
end
table.sort(names, function(one, other) return one > other end)
for i = #names, 1, -1 do redis.call('INCRBY', KEYS[1], totals[names[i]]) end
local i = 0
repeat i = i + 1; if i == 4 then break end until i >= 10
while i > 0 do i = i - 1 end
return { sum, table.concat(names), redis.call('GET', KEYS[1]), i, table.maxn(totals) }"""),
    _script("logging with further arguments", "v", "1", """
local function log_old(...)
  local result = ""
  for i, v in ipairs(arg) do result = result .. " " .. tostring(v) end
  redis.log(redis.LOG_DEBUG, "script -" .. result)
  return result .. arg.n
end
return { log_old(1, nil, 'x'), log_old(), redis.sha1hex('abc') }"""),
]  # fmt: skip
