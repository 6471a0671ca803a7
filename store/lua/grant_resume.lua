#!lua
-- grant_resume: begin a session for a remembered device and rotate its refresh
-- token, or repeat that for who lost the answer, or end the grant for an old token.
--
-- KEYS[1..8]   as begin.lua says; the op is not used
-- ARGV[1..15]  as begin.lua says
-- ARGV[16] generation of the presented token
-- ARGV[17] its digest
-- ARGV[18] digest of its successor
-- ARGV[19] grace of the previous token once its successor has arrived, ms
-- ARGV[20] "1" if the presented token is known to be an older one of this grant
-- ARGV[21..]  texts too long for the hash: digest, text in turn
-- ARGV[-n..]  the event, values in the order of EVENT; the deadlines are filled in here
--
-- Returns  {sid, "created", exp, abs, evicted, now, until}   as session_create
--          {sid, "same", last sid, exp, now, active, until, field, value, …}   the session that this token has begun
--                         already, with its whole hash; nothing written
--          {sid, "reused"}   an older token: the grant and its session have been ended, the attempt is logged
--          {sid, "limit"}    as session_create
--          {sid, "absent"}   no such grant, or not its token: nothing written, but that a grant whose
--                            last session was taken out by hand is forgotten
-- Atomic; repeating it with the same token is what "same" is for. Refused by Redis
-- when memory is full (no flags), as a login is.

local e, at = event(), now()
local sid, id = e.sid, ARGV[15]
local grant = redis.call('HMGET', KEYS[8], 'u', 'h', 'p', 'g', 'r', 'c', 's')
local till = tonumber(redis.call('ZSCORE', k.user, 'g:' .. id) or 0)
if till <= at or grant[1] ~= e.user then return { sid, 'absent' } end
local last = grant[7]
local exp = redis.call('ZSCORE', k.user, last)
if not exp then
  end_grant(k, id)
  return { sid, 'absent' }
end
local hash = about(k.prefix .. 'session:' .. last)
local lives = hash[1] == e.user

local presented, current = tonumber(ARGV[16]), tonumber(grant[4])
local rotate = presented == current and ARGV[17] == grant[2]
local previous = presented == current - 1 and ARGV[17] == grant[3]
if previous and grant[6] == '1' and at > tonumber(grant[5]) + tonumber(ARGV[19]) or ARGV[20] == '1' and presented < current - 1 then
  e.ok, e.error, e.sid, e.grant = '0', 'refresh_token_reused', '', id
  append(k.events, e)
  if lives then finish(k, e, last, 'refresh_reused', '', hash, tonumber(exp), at) end
  end_grant(k, id)
  outlive(k)
  return { sid, 'reused' }
end
if not rotate and not previous then return { sid, 'absent' } end
if previous and lives then
  local since = hash[6] and text(active(k.seen, last)) or ''
  return { sid, 'same', last, exp, text(at), since, text(till), unpack(redis.call('HGETALL', k.prefix .. 'session:' .. last)) }
end

local over, expiry = room(sid, last, at)
if not over then
  e.ok, e.error, e.sid = '0', 'too many sessions', ''
  append(k.events, e)
  return { sid, 'limit' }
end
deadlines(e, at)
local evicted = begin(e, over, expiry, at)
if lives then
  hash[7] = false -- the grant goes on
  finish(k, e, last, 'replaced', '', hash, tonumber(exp), at)
end
forget(k, last)
redis.call('HSET', KEYS[8], 's', sid, 'n', ARGV[10])
if rotate then
  redis.call('HSET', KEYS[8], 'g', text(current + 1), 'h', ARGV[18], 'p', ARGV[17], 'r', text(at))
end
redis.call('HDEL', KEYS[8], 'c')
outlive(k)
keep_texts(21, text(math.max(tonumber(e.exp), tonumber(e.abs) or 0)))
return { sid, 'created', e.exp, e.abs, text(evicted), text(at), text(till) }
