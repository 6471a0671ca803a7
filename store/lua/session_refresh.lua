#!lua flags=allow-oom
-- session_refresh: rotate a session's token and move its deadline, or repeat the
-- rotation for who lost the answer, or end the session for an old token.
--
-- KEYS[1]  hash    session   sg:{p}:session:<sid>
-- KEYS[2]  zset    user      sg:{p}:user:<user id>   member sid, score expiry (Unix ms)
-- KEYS[3]  stream  events    sg:{p}:events
-- KEYS[4]  hash    seen      sg:{p}:seen:<user id>
-- KEYS[5]  stream  feed      sg:{p}:feed
-- KEYS[6]  hash    meta      sg:{p}:meta
-- ARGV[1]  prefix of the partition, sg:{p}:
-- ARGV[2]  generation of the presented token
-- ARGV[3]  iat of the presented token, Unix s
-- ARGV[4]  time to live of the session, ms
-- ARGV[5]  grace of the previous token once its successor is in use, ms
-- ARGV[6]  bytes of memory in use beyond which refresh is refused; 0 for no bound
-- ARGV[7]  what the feed keeps: entries, ms
-- ARGV[-n..]  the event, values in the order of EVENT; device, sip, access, exp and abs are filled in here
--
-- Returns  {sid, "rotated", exp, now, field, value, …}   a new generation; then the whole hash
--          {sid, "same", exp, now, field, value, …}      the successor again; nothing written
--          {sid, "reused"}       an older token: the session has been ended and announced, both rows appended
--          {sid, "superseded"}   a token of a lineage that Redis lost: nothing written
--          {sid, "absent"}       not live: nothing written
--          {sid, "full"}         memory is nearly full: nothing written
-- Atomic; repeating it with the same token is what "same" is for, so it needs no memo.
-- allow-oom with a bound of its own: a full Redis should refuse logins first.

local bad = wrong_type({ 'hash', 'zset', 'stream', 'hash', 'stream', 'hash' })
if bad then return bad end

local prefix, e, at = ARGV[1], event(), now()
local sid = e.sid
local hash = redis.call('HMGET', KEYS[1], 'u', 'a', 'k', 'd', 'n', 'g', 'r', 's', 'w')
local exp = redis.call('ZSCORE', KEYS[2], sid)
if not exp or hash[1] ~= e.user then return { sid, 'absent' } end

local function answer(status, deadline)
  local all = redis.call('HGETALL', KEYS[1])
  return { sid, status, deadline, text(at), unpack(all) }
end

local presented, current = tonumber(ARGV[2]), tonumber(hash[6])
local rotated = tonumber(hash[7])
e.device, e.sip, e.access = resolve(prefix, hash[4]), hash[5] or '', resolve(prefix, hash[3])
e.abs = hash[2] and hash[2] .. '000' or ''

if presented == current - 1 and (hash[8] ~= '1' or at <= rotated + tonumber(ARGV[5])) then
  return answer('same', text(tonumber(exp)))
end
if presented < current then
  e.ok, e.error, e.exp = '0', 'refresh_reused', text(tonumber(exp))
  append(KEYS[3], e)
  local over = ending(prefix, e, sid, 'refresh_reused', '', hash, tonumber(exp), at)
  append(KEYS[3], over)
  announce(KEYS[5], KEYS[6], ARGV[7], over, at)
  redis.call('ZREM', KEYS[2], sid)
  redis.call('HDEL', KEYS[4], sid)
  redis.call('DEL', KEYS[1])
  return { sid, 'reused' }
end
if presented == current and rotated and math.floor(rotated / 1000) ~= tonumber(ARGV[3]) then
  return { sid, 'superseded' }
end

local bound = tonumber(ARGV[6])
if bound > 0 then
  local used = string.match(redis.call('INFO', 'memory'), 'used_memory:(%d+)')
  if tonumber(used) > bound then return { sid, 'full' } end
end

-- A generation above ours: Redis was set back. The session goes on from there.
local deadline = math.ceil((at + ARGV[4]) / 1000)
if hash[2] then deadline = math.min(deadline, tonumber(hash[2])) end
e.exp = text(deadline) .. '000'
append(KEYS[3], e)
redis.call('HSET', KEYS[1], 'g', text(math.max(presented, current) + 1), 'r', text(at))
redis.call('HDEL', KEYS[1], 's')
redis.call('PEXPIREAT', KEYS[1], e.exp)
redis.call('ZADD', KEYS[2], 'XX', e.exp, sid)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', text(at))
outlive(KEYS[2])
if not hash[2] then
  for _, ref in ipairs({ hash[3] or '', hash[4] or '', hash[9] or '' }) do
    if string.sub(ref, 1, 1) == '@' then
      redis.call('PEXPIREAT', prefix .. 'text:' .. string.sub(ref, 2), e.exp, 'GT')
    end
  end
end
return answer('rotated', e.exp)
