#!lua flags=allow-oom
-- event_ack: acknowledge entries and delete them, in one step. An entry that is
-- acknowledged and not deleted would never be delivered again and hold the fence
-- of sweep and reconcile for ever.
--
-- KEYS[1]  stream  events    sg:{p}:events
-- ARGV[1]  consumer group
-- ARGV[2..]  stream ids
--
-- Returns  how many were deleted by this call
-- Atomic, and may be repeated. allow-oom: it frees memory.

local ids = {}
for i = 2, #ARGV do ids[i - 1] = ARGV[i] end
redis.call('XACK', KEYS[1], ARGV[1], unpack(ids))
return redis.call('XDEL', KEYS[1], unpack(ids))
