#!lua flags=allow-oom
-- user_revoke: end all sessions of a user and forget their remembered devices, but
-- for one session that may be named, and its device; append an event for each
-- session, and announce each.
--
-- KEYS[1]  zset    user      sg:{p}:user:<user id>   member sid, score expiry (Unix ms)
-- KEYS[2]  stream  events    sg:{p}:events
-- KEYS[3]  hash    seen      sg:{p}:seen:<user id>
-- KEYS[4]  stream  feed      sg:{p}:feed
-- KEYS[5]  hash    meta      sg:{p}:meta
-- ARGV[1]  prefix of the partition, sg:{p}:
-- ARGV[2]  why, a session.EndReason
-- ARGV[3]  sid to spare, '' for none
-- ARGV[4]  what the feed keeps: entries, ms
-- ARGV[-n..]  the request, as an event in the order of EVENT; its reason is the user's own words
--
-- Returns  {user id, ended, now}   how many this call ended; Unix ms as a string
-- Atomic and idempotent by nature. Bounded by the cap on sessions per user.
-- Entries whose session key is gone are dropped without an event: somebody
-- removed the key, and reconcile says so. allow-oom, as session_revoke.

local bad = wrong_type({ 'zset', 'stream', 'hash', 'stream', 'hash' })
if bad then return bad end

local e, at, spared = event(), now(), ARGV[3]
local k = {
  prefix = ARGV[1], user = KEYS[1], events = KEYS[2], seen = KEYS[3], feed = KEYS[4], meta = KEYS[5], keep = ARGV[4],
}
local own = spared ~= '' and redis.call('HGET', k.prefix .. 'session:' .. spared, 'm')
local listed = redis.call('ZRANGE', k.user, 0, -1, 'WITHSCORES')
local ended, gone, grants = 0, {}, {}
for i = 1, #listed, 2 do
  local sid, grant = listed[i], grant_of(listed[i])
  if grant then
    if grant ~= own then grants[#grants + 1] = grant end
  elseif sid ~= spared then
    local hash = about(k.prefix .. 'session:' .. sid)
    if hash[1] == e.user then
      finish(k, e, sid, ARGV[2], e.reason, hash, tonumber(listed[i + 1]), at)
      ended = ended + 1
    end
    gone[#gone + 1] = sid
  end
end
for _, sid in ipairs(gone) do forget(k, sid) end
for _, grant in ipairs(grants) do end_grant(k, grant) end
outlive(k)
return { e.user, text(ended), text(at) }
