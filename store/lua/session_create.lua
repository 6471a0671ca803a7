#!lua
-- session_create: begin a session, end the oldest beyond the cap, remember the
-- device where that is asked for, and append the events that say so.
--
-- KEYS[1..8]   as begin.lua says; the op holds the answer, for a repeated call
-- ARGV[1..15]  as begin.lua says
-- ARGV[16] how long the device is remembered, ms
-- ARGV[17] seed of the grant
-- ARGV[18] digest of its first token
-- ARGV[19..]  texts too long for the hash: digest, text in turn
-- ARGV[-n..]  the event, values in the order of EVENT; the deadlines are filled in here
--
-- Returns  {sid, "created", exp, abs, evicted, now, until}   Unix ms as strings, abs '' for none;
--                          until is when the device will be forgotten, '' where it is not remembered
--          {sid, "limit"}   the user has as many sessions as one may: the attempt is logged, nothing begun
--          {sid, "stale"}   the event is older than half the memo's life, or from the
--                           future: whether it is a repeat can't be told
-- Atomic; a repeated call returns the first answer and writes nothing, also when
-- the session has ended since. Refused by Redis when memory is full (no flags).

local e, at = event(), now()
local sid = e.sid
local memo = redis.call('GET', KEYS[4])
if memo then
  local exp, abs, evicted, till = string.match(memo, '^(%d+) (%d*) (%d+) (%d*)$')
  return { sid, 'created', exp, abs, evicted, text(at), till }
end
if math.abs(at - tonumber(e.at)) > tonumber(ARGV[2]) / 2 then return { sid, 'stale' } end

local over, expiry = room(sid, '', at)
if not over then
  e.ok, e.error, e.sid = '0', 'too many sessions', ''
  append(k.events, e)
  return { sid, 'limit' }
end
deadlines(e, at)
local evicted = begin(e, over, expiry, at)

-- remember makes the grant. Of those beyond the cap the oldest go, by their ids.
local function remember()
  local till = text(at + tonumber(ARGV[16]))
  local grants = {}
  for _, member in ipairs(redis.call('ZRANGE', k.user, 0, -1)) do grants[#grants + 1] = grant_of(member) end
  table.sort(grants)
  for i = 1, #grants - tonumber(ARGV[6]) + 1 do end_grant(k, grants[i]) end
  redis.call('HSET', KEYS[8], 'u', e.user, 'g', '0', 'h', ARGV[18], 'e', ARGV[17], 's', sid,
    'd', ARGV[9], 'n', ARGV[10], 't', text(math.floor(tonumber(e.at) / 1000)))
  redis.call('PEXPIREAT', KEYS[8], till)
  redis.call('ZADD', k.user, till, 'g:' .. ARGV[15])
  return till
end

local till = ARGV[15] ~= '' and remember() or ''
outlive(k)
local horizon = math.max(tonumber(e.exp), tonumber(e.abs) or 0, tonumber(till) or 0)
keep_texts(19, text(horizon))
redis.call('SET', KEYS[4], e.exp .. ' ' .. e.abs .. ' ' .. evicted .. ' ' .. till, 'PX', ARGV[2])
return { sid, 'created', e.exp, e.abs, text(evicted), text(at), till }
