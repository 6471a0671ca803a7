#!lua flags=allow-oom
-- user_revoke: end all sessions of a user, but for one that may be named, and
-- append an event for each, and announce each.
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

local prefix, e, at = ARGV[1], event(), now()
local listed = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
local ended, gone = 0, {}
for i = 1, #listed, 2 do
  local sid, key = listed[i], prefix .. 'session:' .. listed[i]
  if sid ~= ARGV[3] then
    local hash = redis.call('HMGET', key, 'u', 'a', 'k', 'd', 'n')
    if hash[1] == e.user then
      local over = ending(prefix, e, sid, ARGV[2], e.reason, hash, tonumber(listed[i + 1]), at)
      append(KEYS[2], over)
      announce(KEYS[4], KEYS[5], ARGV[4], over, at)
      redis.call('DEL', key)
      ended = ended + 1
    end
    gone[#gone + 1] = sid
  end
end
for _, sid in ipairs(gone) do
  redis.call('ZREM', KEYS[1], sid)
  redis.call('HDEL', KEYS[3], sid)
end
outlive(KEYS[1])
return { e.user, text(ended), text(at) }
