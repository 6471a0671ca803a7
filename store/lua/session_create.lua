#!lua
-- session_create: begin a session, end the oldest beyond the cap, and append the
-- events that say so.
--
-- KEYS[1]  hash    session   sg:{p}:session:<sid>
-- KEYS[2]  zset    user      sg:{p}:user:<user id>   member sid, score expiry (Unix ms)
-- KEYS[3]  stream  events    sg:{p}:events
-- KEYS[4]  string  op        sg:{p}:op:<event id>    the answer, for a repeated call
-- KEYS[5]  hash    seen      sg:{p}:seen:<user id>
-- KEYS[6]  stream  feed      sg:{p}:feed
-- KEYS[7]  hash    meta      sg:{p}:meta
-- ARGV[1]  prefix of the partition, sg:{p}:
-- ARGV[2]  lifetime of the op memo, ms
-- ARGV[3]  time to live of the session, ms
-- ARGV[4]  longest life of the session, ms; 0 for no limit
-- ARGV[5]  most sessions a user may have
-- ARGV[6..11]  hash fields k, d, n, w, t and the number of texts, see store/doc.go; '' for none
-- ARGV[12] what the feed keeps: entries, ms
-- ARGV[13..]  texts too long for the hash: digest, text in turn
-- ARGV[-n..]  the event, values in the order of EVENT; exp and abs are filled in here
--
-- Returns  {sid, "created", exp, abs, evicted, now}   Unix ms as strings, abs '' for none
--          {sid, "stale"}   the event is older than half the memo's life, or from the
--                           future: whether it is a repeat can't be told
-- Atomic; a repeated call returns the first answer and writes nothing, also when
-- the session has ended since. Refused by Redis when memory is full (no flags).

local bad = wrong_type({ 'hash', 'zset', 'stream', 'string', 'hash', 'stream', 'hash' })
if bad then return bad end

local prefix, e = ARGV[1], event()
local sid, at = e.sid, now()
local memo = redis.call('GET', KEYS[4])
if memo then
  local exp, abs, evicted = string.match(memo, '^(%d+) (%d*) (%d+)$')
  return { sid, 'created', exp, abs, evicted, text(at) }
end
if math.abs(at - tonumber(e.at)) > tonumber(ARGV[2]) / 2 then return { sid, 'stale' } end

-- exp is whole seconds, as in the token, and never beyond the absolute deadline.
local exp, abs = math.ceil((at + ARGV[3]) / 1000), ''
if tonumber(ARGV[4]) > 0 then
  abs = math.ceil((at + ARGV[4]) / 1000)
  exp = math.min(exp, abs)
  abs = text(abs)
end
e.exp, e.abs = text(exp) .. '000', abs ~= '' and abs .. '000' or ''

-- The oldest go first: a sid is a UUIDv7, so the order of text is that of birth.
local others = {}
local listed = redis.call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES')
local expiry = {}
for i = 1, #listed, 2 do
  expiry[listed[i]] = tonumber(listed[i + 1])
  if listed[i] ~= sid and expiry[listed[i]] > at then others[#others + 1] = listed[i] end
end
table.sort(others)
local over = math.max(#others - tonumber(ARGV[5]) + 1, 0)
local evicted = 0

append(KEYS[3], e)
for i = 1, over do
  local old = others[i]
  local key = prefix .. 'session:' .. old
  local hash = redis.call('HMGET', key, 'u', 'a', 'k', 'd', 'n')
  if hash[1] then
    local out = ending(prefix, e, old, 'evicted', '', hash, expiry[old], at)
    append(KEYS[3], out)
    announce(KEYS[6], KEYS[7], ARGV[12], out, at)
    redis.call('DEL', key)
    evicted = evicted + 1
  end
  redis.call('ZREM', KEYS[2], old)
  redis.call('HDEL', KEYS[5], old)
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', text(at))

local fields = { 'u', e.user, 'g', '0' }
for i, name in ipairs({ 'k', 'd', 'n', 'w', 't' }) do
  local value = ARGV[5 + i]
  if value ~= '' then
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
end
if abs ~= '' then
  fields[#fields + 1] = 'a'
  fields[#fields + 1] = abs
end
redis.call('HSET', KEYS[1], unpack(fields))
redis.call('PEXPIREAT', KEYS[1], e.exp)
redis.call('ZADD', KEYS[2], e.exp, sid)
outlive(KEYS[2])

local horizon = e.abs ~= '' and e.abs or e.exp
for i = 13, 12 + 2 * tonumber(ARGV[11]), 2 do
  local key = prefix .. 'text:' .. ARGV[i]
  if redis.call('EXISTS', key) == 1 then
    redis.call('PEXPIREAT', key, horizon, 'GT')
  else
    redis.call('SET', key, ARGV[i + 1], 'PXAT', horizon)
  end
end

redis.call('SET', KEYS[4], e.exp .. ' ' .. e.abs .. ' ' .. evicted, 'PX', ARGV[2])
return { sid, 'created', e.exp, e.abs, text(evicted), text(at) }
