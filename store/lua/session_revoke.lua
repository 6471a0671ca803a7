#!lua flags=allow-oom
-- session_revoke: end one session, append the event that says so, and announce it.
--
-- KEYS[1]  hash    session   sg:{p}:session:<sid>
-- KEYS[2]  zset    user      sg:{p}:user:<user id>   member sid, score expiry (Unix ms)
-- KEYS[3]  stream  events    sg:{p}:events
-- KEYS[4]  hash    seen      sg:{p}:seen:<user id>
-- KEYS[5]  stream  feed      sg:{p}:feed
-- KEYS[6]  hash    meta      sg:{p}:meta
-- ARGV[1]  prefix of the partition, sg:{p}:
-- ARGV[2]  why, a session.EndReason
-- ARGV[3]  what the feed keeps: entries, ms
-- ARGV[-n..]  the request, as an event in the order of EVENT; its reason is the user's own words
--
-- Returns  {sid, "revoked", now}   ended by this call; Unix ms as a string
--          {sid, "absent", now}    was not live, or a repeat: nothing written
-- Atomic and idempotent by nature: there is nothing to end twice. allow-oom: a
-- logout must work when Redis is full.

local bad = wrong_type({ 'hash', 'zset', 'stream', 'hash', 'stream', 'hash' })
if bad then return bad end

local prefix, e, at = ARGV[1], event(), now()
local hash = redis.call('HMGET', KEYS[1], 'u', 'a', 'k', 'd', 'n')
local exp = redis.call('ZSCORE', KEYS[2], e.sid)
if not exp or hash[1] ~= e.user then return { e.sid, 'absent', text(at) } end

local over = ending(prefix, e, e.sid, ARGV[2], e.reason, hash, tonumber(exp), at)
append(KEYS[3], over)
announce(KEYS[5], KEYS[6], ARGV[3], over, at)
redis.call('ZREM', KEYS[2], e.sid)
redis.call('HDEL', KEYS[4], e.sid)
redis.call('DEL', KEYS[1])
return { e.sid, 'revoked', text(at) }
