#!lua
-- partition_open: give a partition its epoch if it has none. A missing epoch
-- means that the partition is new, or that Redis lost it.
--
-- KEYS[1]  hash    meta      sg:{p}:meta   epoch, epoch_at (Unix ms), feed, feed_id
-- KEYS[2]  stream  feed      sg:{p}:feed
-- ARGV[1]  epoch to use, a UUID
--
-- Returns  {epoch, epoch_at}   the one that holds now
-- Atomic; the first gateway wins and all agree.

local bad = wrong_type({ 'hash', 'stream' })
if bad then return bad end
if redis.call('HSETNX', KEYS[1], 'epoch', ARGV[1]) == 1 then
  redis.call('HSET', KEYS[1], 'epoch_at', text(now()))
  -- What a lost meta leaves behind in the feed belongs to another epoch.
  if redis.call('HEXISTS', KEYS[1], 'feed') == 0 then
    local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
    redis.call('HSET', KEYS[1], 'feed', '0', 'feed_id', last[1] and last[1][1] or '0-0')
  end
end
return redis.call('HMGET', KEYS[1], 'epoch', 'epoch_at')
