#!lua flags=allow-oom
-- session_revoke: end one session and append the event that says so.
--
-- KEYS[1]  hash    session   sg:{p}:session:<sid>
-- KEYS[2]  zset    user      sg:{p}:user:<user id>   member sid, score expiry (Unix ms)
-- KEYS[3]  stream  events    sg:{p}:events
-- KEYS[4]  hash    seen      sg:{p}:seen:<user id>
-- ARGV[1]  prefix of the partition, sg:{p}:
-- ARGV[2]  why, a session.EndReason
-- ARGV[3..19]  the request, as an event in the order of EVENT; its reason is the user's own words
--
-- Returns  {sid, "revoked", now}   ended by this call; Unix ms as a string
--          {sid, "absent", now}    was not live, or a repeat: nothing written
-- Atomic and idempotent by nature: there is nothing to end twice. allow-oom: a
-- logout must work when Redis is full.

local bad = wrong_type({ 'hash', 'zset', 'stream', 'hash' })
if bad then return bad end

local prefix, e, at = ARGV[1], event(3), now()
local hash = redis.call('HMGET', KEYS[1], 'u', 'a', 'k', 'd', 'n')
local exp = redis.call('ZSCORE', KEYS[2], e.sid)
if not exp or hash[1] ~= e.user then return { e.sid, 'absent', text(at) } end

append(KEYS[3], ending(prefix, e, e.sid, ARGV[2], e.reason, hash, tonumber(exp), at))
redis.call('ZREM', KEYS[2], e.sid)
redis.call('HDEL', KEYS[4], e.sid)
redis.call('DEL', KEYS[1])
return { e.sid, 'revoked', text(at) }
