#!lua flags=allow-oom
-- grant_end: forget a remembered device, and end its session.
--
-- KEYS[1]  hash    grant     sg:{p}:grant:<grant id>
-- KEYS[2]  zset    user      sg:{p}:user:<user id>   member sid or g:<grant id>, score expiry (Unix ms)
-- KEYS[3]  stream  events    sg:{p}:events
-- KEYS[4]  hash    seen      sg:{p}:seen:<user id>
-- KEYS[5]  stream  feed      sg:{p}:feed
-- KEYS[6]  hash    meta      sg:{p}:meta
-- ARGV[1]  prefix of the partition, sg:{p}:
-- ARGV[2]  why, a session.EndReason
-- ARGV[3]  what the feed keeps: entries, ms
-- ARGV[4]  grant id
-- ARGV[-n..]  the request, as an event in the order of EVENT; its reason is the user's own words
--
-- Returns  {grant id, "ended"}    by this call
--          {grant id, "absent"}   was not there, or a repeat: nothing written
-- Atomic and idempotent by nature. allow-oom, as session_revoke.

local bad = wrong_type({ 'hash', 'zset', 'stream', 'hash', 'stream', 'hash' })
if bad then return bad end

local e, at, id = event(), now(), ARGV[4]
local k = {
  prefix = ARGV[1], user = KEYS[2], events = KEYS[3], seen = KEYS[4], feed = KEYS[5], meta = KEYS[6], keep = ARGV[3],
}
local grant = redis.call('HMGET', KEYS[1], 'u', 's')
local listed = redis.call('ZSCORE', k.user, 'g:' .. id)
if not listed then return { id, 'absent' } end
if grant[1] == e.user then
  local hash = about(k.prefix .. 'session:' .. grant[2])
  local exp = redis.call('ZSCORE', k.user, grant[2])
  if exp and hash[1] == e.user then
    finish(k, e, grant[2], ARGV[2], e.reason, hash, tonumber(exp), at)
  else
    forget(k, grant[2])
  end
end
end_grant(k, id)
outlive(k)
return { id, 'ended' }
