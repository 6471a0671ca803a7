#!lua
-- partition_open: give a partition its epoch if it has none. A missing epoch
-- means that the partition is new, or that Redis lost it.
--
-- KEYS[1]  hash    meta      sg:{p}:meta   epoch, epoch_at (Unix ms)
-- ARGV[1]  epoch to use, a UUID
--
-- Returns  {epoch, epoch_at}   the one that holds now
-- Atomic; the first gateway wins and all agree.

local bad = wrong_type({ 'hash' })
if bad then return bad end
if redis.call('HSETNX', KEYS[1], 'epoch', ARGV[1]) == 1 then
  redis.call('HSET', KEYS[1], 'epoch_at', text(now()))
end
return redis.call('HMGET', KEYS[1], 'epoch', 'epoch_at')
