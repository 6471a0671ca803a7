#!lua
-- limit_forgive: an attempt was right, or was not made after all. What it took is
-- given back; if it was right, where it came from is known from now on.
--
-- KEYS[1..6]  as in limit_take
-- ARGV[1..10]  as in limit_take
-- ARGV[11]  the limit that limit_take counted it under
-- ARGV[12]  how long its device and network stay known, ms; 0 if it was not right
-- ARGV[13]  how many of an account are kept
--
-- Returns  "ok"
-- Atomic. A repeated call gives back once more. Refused by Redis when memory is full (no flags).

local bad = wrong_type({ 'zset', 'string', 'string', 'string', 'string', 'string' })
if bad then return bad end

local at = now()
local rates = { { 4, 5 }, { 5, 7 }, { 6, 9 } }
if ARGV[11] == 'device' then
  rates = { { 2, 3 } }
elseif ARGV[11] == 'network' then
  rates = { { 3, 3 } }
end
for _, rate in ipairs(rates) do
  local key = KEYS[rate[1]]
  local empty = tonumber(redis.call('GET', key) or '')
  if empty then
    empty = empty - tonumber(ARGV[rate[2] + 1])
    if empty > at then
      redis.call('SET', key, text(empty), 'PXAT', text(empty))
    else
      redis.call('DEL', key)
    end
  end
end

if tonumber(ARGV[12]) == 0 then return 'ok' end
for _, member in ipairs({ ARGV[1], ARGV[2] }) do
  if member ~= '' then redis.call('ZADD', KEYS[1], text(at + ARGV[12]), member) end
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', text(at))
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - tonumber(ARGV[13]))
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
if last[2] then redis.call('PEXPIREAT', KEYS[1], text(tonumber(last[2]))) end
return 'ok'
