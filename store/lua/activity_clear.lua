#!lua flags=allow-oom
-- activity_clear: take from the activity what Postgres has, and only where it has
-- not changed since.
--
-- KEYS[1]  zset    activity  sg:{p}:activity   member sid, score last seen (Unix ms)
-- ARGV[1..]  in turn: sid, last seen (Unix ms) as written
--
-- Returns  how many were removed
-- Atomic, and may be repeated.

local removed = 0
for i = 1, #ARGV, 2 do
  local seen = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if seen and tonumber(seen) == tonumber(ARGV[i + 1]) then
    removed = removed + redis.call('ZREM', KEYS[1], ARGV[i])
  end
end
return removed
