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
-- ARGV[8]  "1" if the user did something since the last refresh
-- ARGV[-n..]  the event, values in the order of EVENT; device, sip, access and the deadlines are filled in here
--
-- Returns  {sid, "rotated", exp, now, active, field, value, …}   a new generation; then the whole hash
--          {sid, "same", exp, now, active, field, value, …}      the successor again; nothing written but the
--                                user's activity, which active is the time of, '' where it makes no difference
--          {sid, "reused"}       an older token: the session has been ended and announced, both rows appended
--          {sid, "superseded"}   a token of a lineage that Redis lost: nothing written
--          {sid, "absent"}       not live: nothing written
--          {sid, "full"}         memory is nearly full: nothing written
-- Atomic; repeating it with the same token is what "same" is for, so it needs no memo.
-- allow-oom with a bound of its own: a full Redis should refuse logins first.

local bad = wrong_type({ 'hash', 'zset', 'stream', 'hash', 'stream', 'hash' })
if bad then return bad end

local prefix, e, at = ARGV[1], event(), now()
local k = { prefix = prefix, user = KEYS[2], events = KEYS[3], seen = KEYS[4], feed = KEYS[5], meta = KEYS[6], keep = ARGV[7] }
local sid = e.sid
local hash = redis.call('HMGET', KEYS[1], 'u', 'a', 'k', 'd', 'n', 'i', 'm', 'g', 'r', 's', 'w')
local exp = redis.call('ZSCORE', k.user, sid)
if not exp or hash[1] ~= e.user then return { sid, 'absent' } end

local presented, current = tonumber(ARGV[2]), tonumber(hash[8])
local rotated, idle = tonumber(hash[9]), hash[6]
local since = idle and active(k.seen, sid)
e.device, e.sip, e.access = resolve(prefix, hash[4]), hash[5] or '', resolve(prefix, hash[3])
e.abs, e.idle, e.grant = hash[2] and hash[2] .. '000' or '', idle or '', hash[7] or ''

-- ends lets the key live until the deadline, or until the user has been idle for too
-- long, which is from now on if they did something.
local function ends(deadline)
  if idle then
    if ARGV[8] == '1' and since < at then
      since = at
      redis.call('HSET', k.seen, sid .. '+', text(since))
    end
    deadline = math.min(deadline, idle_end(since, idle))
    e.active = text(since)
  end
  redis.call('PEXPIREAT', KEYS[1], text(deadline))
end

local function answer(status, deadline)
  local all = redis.call('HGETALL', KEYS[1])
  return { sid, status, deadline, text(at), since and text(since) or '', unpack(all) }
end

if presented == current - 1 and (hash[10] ~= '1' or at <= rotated + tonumber(ARGV[5])) then
  if idle and ARGV[8] == '1' then
    ends(tonumber(exp))
    outlive(k)
  end
  return answer('same', text(tonumber(exp)))
end
if presented < current then
  e.ok, e.error, e.exp = '0', 'refresh_reused', text(tonumber(exp))
  e.active = since and text(since) or ''
  append(k.events, e)
  finish(k, e, sid, 'refresh_reused', '', hash, tonumber(exp), at)
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
if idle then e.active = text(ARGV[8] == '1' and at or since) end
append(k.events, e)
redis.call('HSET', KEYS[1], 'g', text(math.max(presented, current) + 1), 'r', text(at))
redis.call('HDEL', KEYS[1], 's')
ends(deadline * 1000)
redis.call('ZADD', k.user, 'XX', e.exp, sid)
prune(k, at)
outlive(k)
if hash[7] and current == 0 then arrived(prefix, hash[7], sid) end
if not hash[2] then
  for _, ref in ipairs({ hash[3] or '', hash[4] or '', hash[11] or '' }) do
    if string.sub(ref, 1, 1) == '@' then
      redis.call('PEXPIREAT', prefix .. 'text:' .. string.sub(ref, 2), e.exp, 'GT')
    end
  end
end
return answer('rotated', e.exp)
