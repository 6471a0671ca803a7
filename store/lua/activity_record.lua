#!lua
-- activity_record: note that sessions were used, and which tokens.
--
-- KEYS[1]  zset    activity  sg:{p}:activity   member sid or <sid>+, score last seen, or active (Unix ms)
-- ARGV[1]  prefix of the partition, sg:{p}:
-- ARGV[2..]  in turn: sid, user id, last seen (Unix ms), generation of the token,
--             "1" if it was the user who did something
--
-- Returns  how many of the sessions were live
-- Atomic, and may be repeated. Never creates a session or user key: all is
-- written only where the session is still there, or a DEL by hand would be
-- undone by a late note.

local bad = wrong_type({ 'zset' })
if bad then return bad end

-- latest lets a time in a hash grow.
local function latest(key, field, ms)
  if tonumber(redis.call('HGET', key, field) or 0) >= tonumber(ms) then return false end
  redis.call('HSET', key, field, ms)
  return true
end

local prefix, live = ARGV[1], 0
for i = 2, #ARGV, 5 do
  local sid, user, seen, generation = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local session_key, user_key, seen_key = prefix .. 'session:' .. sid, prefix .. 'user:' .. user, prefix .. 'seen:' .. user
  local hash = redis.call('HMGET', session_key, 'u', 'g', 's', 'i', 'm')
  local exp = redis.call('ZSCORE', user_key, sid)
  if hash[1] == user and exp then
    live = live + 1
    redis.call('ZADD', KEYS[1], 'GT', seen, sid)
    local moved = latest(seen_key, sid, seen)
    if hash[4] and ARGV[i + 4] == '1' and latest(seen_key, sid .. '+', seen) then
      moved = true
      redis.call('ZADD', KEYS[1], 'GT', seen, sid .. '+')
      local ends = math.min(tonumber(exp), idle_end(tonumber(seen), hash[4]))
      redis.call('PEXPIREAT', session_key, text(ends), 'GT')
    end
    if moved then
      local deadline = redis.call('PEXPIRETIME', user_key)
      if deadline > 0 then redis.call('PEXPIREAT', seen_key, text(deadline)) end
    end
    -- The first use of a successor ends the time in which its predecessor is good.
    if generation == hash[2] and generation ~= '0' and hash[3] ~= '1' then
      redis.call('HSET', session_key, 's', '1')
    end
    if hash[5] then arrived(prefix, hash[5], sid) end
  end
end
return live
