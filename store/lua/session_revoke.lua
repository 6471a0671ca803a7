#!lua flags=allow-oom
-- session_revoke: end one session and the grant of its device, append the event that says so,
-- and announce it.
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

local e, at = event(), now()
local k = {
  prefix = ARGV[1], user = KEYS[2], events = KEYS[3], seen = KEYS[4], feed = KEYS[5], meta = KEYS[6], keep = ARGV[3],
}
local hash = about(KEYS[1])
local exp = redis.call('ZSCORE', k.user, e.sid)
if not exp or hash[1] ~= e.user then return { e.sid, 'absent', text(at) } end

finish(k, e, e.sid, ARGV[2], e.reason, hash, tonumber(exp), at)
return { e.sid, 'revoked', text(at) }
